package webpush_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestOtherServer: only the push service's own words end a subscription or a
// message. A page of a web server, a firewall, or a router is temporary.
func TestOtherServer(t *testing.T) {
	html := http.Header{"Content-Type": {"text/html; charset=UTF-8"}}
	plain := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	json := http.Header{"Content-Type": {"application/json"}}
	const google404 = "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found."
	for _, tt := range []struct {
		service webpush.Service
		status  int
		header  http.Header
		body    string
		want    webpush.Code
	}{
		{webpush.FCM, 404, html, google404, webpush.CodeOtherServer},
		{webpush.FCM, 410, html, google404, webpush.CodeOtherServer},
		{webpush.FCM, 401, html, "<html><title>Error 401 (Unauthorized)!!1</title>", webpush.CodeOtherServer},
		{webpush.FCM, 403, html, " \n<HTML><HEAD><TITLE>Sign in</TITLE>", webpush.CodeOtherServer},
		{webpush.FCM, 200, html, "<!doctype html><title>Log in</title>", webpush.CodeOtherServer},
		{webpush.Mozilla, 404, nil, "<html><body>nginx", webpush.CodeOtherServer},
		{webpush.Mozilla, 403, html, "<h1>Blocked</h1>", webpush.CodeOtherServer},
		{webpush.Other, 404, plain, "404 page not found\n", webpush.CodeOtherServer},
		{webpush.Other, 404, plain, "default backend - 404", webpush.CodeOtherServer},
		{webpush.UnifiedPush, 405, html, "<html><head><title>405 Not Allowed</title>", webpush.CodeOtherServer},
		// The services' own words, also in a page.
		{webpush.FCM, 404, plain, "A valid push subscription endpoint should be specified in the URL as such: https://fcm.googleapis.com/wp/abc", webpush.CodeGone},
		{webpush.FCM, 410, plain, "push subscription has unsubscribed or expired.\n", webpush.CodeGone},
		{webpush.FCM, 400, html, "<HTML><HEAD><TITLE>UnauthorizedRegistration</TITLE></HEAD>", webpush.CodeVAPIDMissing},
		{webpush.FCM, 404, html, "<HTML><HEAD><TITLE>NotRegistered</TITLE></HEAD>", webpush.CodeGone},
		{webpush.Mozilla, 410, json, `{"code":410,"errno":106,"error":"Gone"}`, webpush.CodeGone},
		{webpush.Other, 410, nil, "", webpush.CodeGone},
		{webpush.Other, 404, json, `{"error":"not found"}`, webpush.CodeGone},
		// What the status says whoever sent it.
		{webpush.Other, 413, html, "<html><title>413 Request Entity Too Large</title>", webpush.CodeTooLarge},
		{webpush.Other, 429, html, "<html><title>Too many requests</title>", webpush.CodeRateLimited},
		{webpush.Other, 502, html, "<html><title>502 Bad Gateway</title>", webpush.CodeUnavailable},
		{webpush.Other, 302, html, "<html>Moved", webpush.CodeRedirect},
		// ntfy's own rules have nothing to do with VAPID.
		{webpush.UnifiedPush, 403, json, `{"code":40301,"http":403,"error":"forbidden"}`, webpush.CodeRejected},
		{webpush.Other, 403, json, `{"code":40301,"http":403,"error":"forbidden"}`, webpush.CodeRejected},
		{webpush.UnifiedPush, 401, json, `{"code":40101,"http":401,"error":"unauthorized"}`, webpush.CodeRejected},
	} {
		e := webpush.Explain(tt.service, tt.status, tt.header, []byte(tt.body))
		if e.Code != tt.want {
			t.Errorf("%s %d %.60q: %s, want %s", tt.service, tt.status, tt.body, e.Code, tt.want)
		}
		if other := e.Code == webpush.CodeOtherServer; other && (e.Gone() || !e.Temporary() || webpush.Final(e) || !strings.Contains(e.Hint(), "firewall")) {
			t.Errorf("%s %d %.60q: gone %v, temporary %v, hint %q", tt.service, tt.status, tt.body, e.Gone(), e.Temporary(), e.Hint())
		}
	}
}

// TestOtherServerSend sends to a login page, and to the legacy GCM service.
func TestOtherServerSend(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/gcm" {
			http.Error(w, "Not Found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>Log in to "+r.URL.Path+"</title>")
	}))
	defer server.Close()
	sub, err := webpush.NewSubscription(server.URL+"/secret-path", "", "")
	if err != nil {
		t.Fatal(err)
	}
	client := &webpush.Client{Attempts: 1}
	_, err = client.Send(t.Context(), sub, webpush.Message{})
	e := asError(t, err)
	if e.Code != webpush.CodeOtherServer || webpush.Classify(err) != webpush.ClassTemporary {
		t.Errorf("a login page is %v, class %s", err, webpush.Classify(err))
	}
	if strings.Contains(err.Error()+string(e.Body)+e.Reason, "secret-path") {
		t.Errorf("the error shows the endpoint: %v", err)
	}
	_, err = client.Send(t.Context(), sub, webpush.Message{GCM: &webpush.GCM{Key: "key", URL: server.URL + "/gcm"}})
	if e := asError(t, err); e.Gone() || webpush.Final(err) || !strings.Contains(e.Hint(), "VAPID") {
		t.Errorf("a 404 of the legacy service: gone %v, final %v, %v", e.Gone(), webpush.Final(err), err)
	}
}

func asError(t *testing.T, err error) *webpush.Error {
	t.Helper()
	e, ok := errors.AsType[*webpush.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *webpush.Error", err)
	}
	return e
}
