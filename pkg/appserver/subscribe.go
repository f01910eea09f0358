package appserver

import (
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// SubscribePage is the page's part that subscribes a browser, alone: without
// store, token and messages. The browser subscribes with key, and save gets
// what it posts, once: after save has returned nil, further subscriptions are
// refused. file is the name by which the page calls the place where the
// subscription goes. An error of save is shown on the page with its Hint, and
// the browser may try again.
//
// The handler answers by the names of this machine alone, so that no page of
// the Internet can reach it by a name of its own (DNS rebinding), and takes a
// subscription from its own page only.
func SubscribePage(key vapid.PublicKey, file string, save func(*webpush.Subscription) error) (http.Handler, error) {
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	p := &subscribePage{key: key, file: file, save: save}
	p.server = &Server{o: Options{Hosts: []string{"localhost", "127.0.0.1", "::1"}}, page: page, mux: http.NewServeMux()}
	p.server.mux.Handle("/subscription", p.answer("GET, HEAD, POST", p.subscription))
	p.server.mux.Handle("/", p.answer("GET, HEAD", p.server.getPage))
	return p.server, nil
}

type subscribePage struct {
	server *Server // for its headers, its check of the name, and the page's files
	key    vapid.PublicKey
	file   string

	mu    sync.Mutex
	save  func(*webpush.Subscription) error
	saved bool
}

// answer makes problems of errors.
func (p *subscribePage) answer(allow string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := p.server.sameOrigin(r)
		if err == nil {
			switch {
			case r.Method == http.MethodGet, r.Method == http.MethodHead, r.Method == http.MethodPost && allow != "GET, HEAD":
				err = h(w, r)
			default:
				err = refuse(http.StatusMethodNotAllowed, "method-not-allowed", "%s is not allowed here, expected %s", clip(r.Method), allow).with("Allow", allow)
			}
		}
		if err != nil {
			asProblem(err).write(w)
		}
	})
}

func (p *subscribePage) subscription(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return writeJSON(w, http.StatusOK, map[string]string{"publicKey": p.key.String(), "file": filepath.Base(p.file)})
	}
	b, err := readBody(w, r, maxSubscription)
	if err != nil {
		return err
	}
	sub, err := webpush.ParseSubscription(b)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.saved {
		return refuse(http.StatusConflict, "saved", "a subscription is saved already").hint("start the page again to save another")
	}
	if err := p.save(sub); err != nil {
		problem := refuse(http.StatusInternalServerError, "not-saved", "%v", err)
		if h, ok := err.(interface{ Hint() string }); ok {
			problem.Hint = h.Hint()
		}
		return problem
	}
	p.saved = true
	return writeJSON(w, http.StatusCreated, map[string]string{"service": string(sub.Service())})
}
