package appserver

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// SubscribePage returns a handler that serves only the part of the page that subscribes
// a browser, without a store, a token, or messages. The browser subscribes with key and
// its subscription is passed to save. After save has returned nil once, later
// subscriptions are refused. If save returns an error, the page shows it with its Hint,
// and the browser can try again. file is the name of the destination that the page shows.
//
// The handler accepts requests only for the loopback names of this machine, because pages
// of the Internet could reach it by another name (DNS rebinding). It accepts subscriptions
// only from its own page.
func SubscribePage(key vapid.PublicKey, file string, save func(*webpush.Subscription) error) (http.Handler, error) {
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	p := &subscribePage{key: key, file: file, save: save}
	p.server = &Server{o: Options{Hosts: LoopbackHosts()}, page: page, mux: http.NewServeMux()}
	p.server.mux.Handle("/subscription", p.handle("GET, HEAD, POST", p.subscription))
	p.server.mux.Handle("/", p.handle("GET, HEAD", p.server.getPage))
	return p.server, nil
}

// Subscribe serves the page of [SubscribePage] at l until a browser has subscribed and save
// has returned nil, and returns the subscription. l must be at a loopback address. When ctx
// is done before that, Subscribe returns its error. It closes l.
func Subscribe(ctx context.Context, l net.Listener, key vapid.PublicKey, file string, save func(*webpush.Subscription) error) (*webpush.Subscription, error) {
	saved := make(chan *webpush.Subscription, 1)
	page, err := SubscribePage(key, file, func(sub *webpush.Subscription) error {
		err := save(sub)
		if err == nil {
			saved <- sub
		}
		return err
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	h := defaultTimes.server(page)
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	// The page gets its response even if ctx is done.
	defer shutDown(ctx, h, 5*time.Second)
	select {
	case sub := <-saved:
		return sub, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-served:
		return nil, err
	}
}

type subscribePage struct {
	server *Server // sets headers, checks the host, and serves the page's files
	key    vapid.PublicKey
	file   string

	mu    sync.Mutex
	save  func(*webpush.Subscription) error
	saved bool
}

// handle returns a handler that checks the method and origin, and writes errors as
// problems.
func (p *subscribePage) handle(allow string, h handler) http.Handler {
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
		return refuse(http.StatusConflict, "saved", "a subscription has already been saved").hint("start the page again to save another one")
	}
	if err := p.save(sub); err != nil {
		return refuse(http.StatusInternalServerError, "not-saved", "%v", err).hint(webpush.HintOf(err))
	}
	p.saved = true
	return writeJSON(w, http.StatusCreated, map[string]string{"service": string(sub.Service())})
}
