package appserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// access is the group of clients that may use a route.
type access int

const (
	open    access = iota
	visitor        // pages of this and the configured origins, a few times per second
	admin          // requests with the token
)

type handler func(w http.ResponseWriter, r *http.Request) error

type route struct {
	path    string
	access  access
	methods map[string]handler
}

func (s *Server) table() []route {
	table := []route{
		{"/subscription", visitor, map[string]handler{"GET": s.getKey, "POST": s.postSubscription, "DELETE": s.deleteSubscription}},
		{"/subscription/change", visitor, map[string]handler{"POST": s.changeSubscription}},
		{"/subscription/test", visitor, map[string]handler{"POST": s.testSubscription}},
		{"/subscriptions", admin, map[string]handler{"GET": s.listSubscriptions, "POST": s.importSubscriptions}},
		{"/push", admin, map[string]handler{"GET": s.listPushes, "POST": s.postPush}},
		{"/push/{id}", admin, map[string]handler{"GET": s.getPush, "PATCH": s.changePush, "DELETE": s.cancelPush}},
		{"/push/{id}/retry", admin, map[string]handler{"POST": s.retryPush}},
		{"/push/{id}/events", admin, map[string]handler{"GET": s.pushEvents}},
		{"/metrics", admin, map[string]handler{"GET": s.getMetrics}},
		{"/healthz", open, map[string]handler{"GET": s.getHealth}},
		{"/openapi.json", open, map[string]handler{"GET": s.getOpenAPI}},
		{"/", open, map[string]handler{"GET": s.getPage}},
	}
	if s.o.Track {
		table = append(table, route{"/report", visitor, map[string]handler{"POST": s.postReport}})
	}
	return table
}

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	for _, rt := range s.table() {
		s.mux.Handle(rt.path, s.serve(rt))
	}
}

// contentPolicy lets the page load only its own files.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; worker-src 'self'; manifest-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// ServeHTTP handles all routes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !s.hostAllowed(r.Host) {
		s.turnAway(w, r, refuse(http.StatusMisdirectedRequest, "wrong-host", "this server does not accept requests for the host %q", clip(r.Host)).
			in("Host").hint("use the address of this server, or add the name to the hosts that it accepts"))
		return
	}
	if clean := path.Clean("/" + r.URL.Path); clean != r.URL.Path && (clean == "/" || clean+"/" != r.URL.Path) {
		s.turnAway(w, r, notFound(r)) // instead of ServeMux's redirect
		return
	}
	s.mux.ServeHTTP(w, r)
}

// turnAway responds to a request that does not belong to a route.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, p *problem) {
	start := time.Now()
	if p.Status == http.StatusMisdirectedRequest && wantsPage(r) {
		writeWrongHost(w, r)
	} else {
		p.write(w)
	}
	s.seen(r, "none", p.Status, time.Since(start))
}

// seen records a request in the log and the metrics.
func (s *Server) seen(r *http.Request, route string, status int, took time.Duration) {
	if s.metrics == nil { // the page of SubscribePage
		return
	}
	s.metrics.request(route, r.Method, status, took)
	if route == "/report" { // the log must not identify recipients
		return
	}
	s.log.Info("request", "method", clip(r.Method), "route", route, "status", status, "took", took.Round(time.Microsecond), "client", s.clientAddr(r))
}

func (s *Server) hostAllowed(host string) bool {
	if len(s.o.Hosts) == 0 {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	return slices.ContainsFunc(s.o.Hosts, func(h string) bool { return strings.EqualFold(strings.Trim(h, "[]"), name) })
}

// recorder keeps the status for the log and the metrics.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is used by http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientGone is the status in the log and the metrics of a request whose client did not
// wait for the response. Other servers use the same number.
const clientGone = 499

// serve returns the handler of one route, which enforces its access, rate, origin, and
// methods.
func (s *Server) serve(rt route) http.Handler {
	allowed := []string{"OPTIONS"}
	for m := range rt.methods {
		allowed = append(allowed, m)
		if m == "GET" {
			allowed = append(allowed, "HEAD")
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		err := s.guarded(rec, r, rt, allow)
		if err != nil {
			p := asProblem(err)
			if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
				p = refuse(clientGone, "client-gone", "the client went away before the response") // only for the log
			}
			if p.cause != nil {
				level := slog.LevelError
				if p.Status < 500 { // for example, a visitor who is not signed in
					level = slog.LevelInfo
				}
				s.log.Log(r.Context(), level, "request failed", "route", rt.path, "error", p.cause)
			}
			if rec.status == 0 {
				p.write(rec)
			}
		}
		s.seen(r, rt.path, cmp.Or(rec.status, http.StatusOK), time.Since(start)) // net/http sends 200 for a response that is empty
	})
}

// guarded turns a panic into an error, which is logged like others.
func (s *Server) guarded(w http.ResponseWriter, r *http.Request, rt route, allow string) (err error) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.handle(w, r, rt, allow)
}

// handle checks a request and calls the handler of its route.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, rt route, allow string) error {
	if rt.access == visitor {
		if err := s.crossOrigin(w, r); err != nil {
			return err
		}
	} else if err := s.sameOrigin(r); err != nil {
		return err
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http omits the body
	}
	if method == http.MethodOptions {
		w.Header().Set("Allow", allow)
		if rt.access == visitor && w.Header().Get("Access-Control-Allow-Origin") != "" {
			w.Header().Set("Access-Control-Allow-Methods", allow)
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
			w.Header().Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h, ok := rt.methods[method]
	if !ok {
		if rt.path == "/" && r.URL.Path != "/" {
			return notFound(r)
		}
		return refuse(http.StatusMethodNotAllowed, "method-not-allowed", "%s is not allowed here, expected %s", clip(r.Method), allow).with("Allow", allow)
	}
	switch rt.access {
	case visitor:
		if err := s.limited(r); err != nil {
			return err
		}
	case admin:
		if !s.authorized(r) {
			if r.Header.Get("Authorization") != "" { // a guess
				if wait, ok := s.guesses.take(addressKey(s.clientAddr(r)), time.Now()); !ok {
					return tooMany(wait)
				}
			}
			return refuse(http.StatusUnauthorized, "unauthorized", "this route requires the administrator's token").
				in("Authorization").hint("send the header Authorization: Bearer TOKEN").with("WWW-Authenticate", `Bearer realm="webpush"`)
		}
	}
	return h(w, r)
}

// limited refuses a request if its client, its site, or all visitors together have
// made too many.
func (s *Server) limited(r *http.Request) error {
	a, now := s.clientAddr(r), time.Now()
	if wait, ok := s.clients.take(addressKey(a), now); !ok {
		return tooMany(wait)
	}
	if wait, ok := s.sites.take(siteKey(a), now); !ok {
		return tooMany(wait)
	}
	if !s.total.Allow() {
		return tooMany(time.Second)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	return refuse(http.StatusTooManyRequests, "too-many-requests", "too many requests").
		hint("wait for the number of seconds in Retry-After").with("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

// crossOrigin lets pages of the configured origins read the response, and refuses
// changes by pages of other origins.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) error {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || s.isOwn(origin, r) {
		return nil
	}
	normal, err := vapid.Origin(origin)
	if slices.Contains(s.o.Origins, "*") || err == nil && slices.Contains(s.o.Origins, normal) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
		return nil
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil // the browser does not show the response to the page
	}
	return refuse(http.StatusForbidden, "wrong-origin", "pages of %s may not use this server", clip(origin)).
		in("Origin").hint("add the origin to the allowed origins of the server; if this is the server's own page, configure the proxy in front of it to forward the Host header")
}

// sameOrigin refuses changes by pages of other sites.
func (s *Server) sameOrigin(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || s.isOwn(origin, r) || r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil
	}
	return refuse(http.StatusForbidden, "wrong-origin", "pages of %s may not use this route", clip(origin)).
		in("Origin").hint("if this is the server's own page, configure the proxy in front of it to forward the Host header")
}

// isOwn reports whether origin is this server's own. A proxy in front of it may have
// turned https into http, so only the host is compared, which the proxy must forward.
func (s *Server) isOwn(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func notFound(r *http.Request) *problem {
	return refuse(http.StatusNotFound, "not-found", "not found: %q", clip(r.URL.Path)).hint("GET /openapi.json lists the routes")
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, r)
	return nil
}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	if err := s.health.check(r.Context(), s.store.Probe); err != nil {
		if errors.Is(err, ErrUnavailable) {
			return err
		}
		p := refuse(http.StatusServiceUnavailable, "store-failed", "the database cannot record anything").with("Retry-After", "5")
		p.cause = err
		return p
	}
	out := map[string]string{"status": "ok"}
	if text := s.warning(r.Context()); text != "" {
		out["warning"] = text
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	return serveFile(w, r, "openapi.json", openAPI)
}

// getPage returns a file of the page.
func (s *Server) getPage(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	b, err := fs.ReadFile(s.page, name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || !strings.Contains(name, ".") {
			return notFound(r)
		}
		return err
	}
	return serveFile(w, r, name, b)
}

var kinds = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".json": "application/json", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon"}

func serveFile(w http.ResponseWriter, r *http.Request, name string, b []byte) error {
	kind := kinds[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache") // revalidated each time
	h.Set("ETag", etag(b))
	if r.Header.Get("If-None-Match") == etag(b) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
	return nil
}
