package appserver

import (
	_ "embed"
	"html/template"
	"mime"
	"net/http"
	"strings"
)

//go:embed wronghost.html
var wrongHostText string

// wrongHost is the page for people who reached the server by a host name that it does
// not accept. It loads nothing, because other requests get the same response.
var wrongHost = template.Must(template.New("wronghost").Parse(wrongHostText))

// wantsPage reports whether the client is a browser that shows the response.
func wantsPage(r *http.Request) bool {
	for accept := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if kind, _, _ := mime.ParseMediaType(accept); kind == "text/html" {
			return true
		}
	}
	return false
}

func writeWrongHost(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusMisdirectedRequest)
	if r.Method != http.MethodHead {
		_ = wrongHost.Execute(w, clip(r.Host)) // an error means that the client went away
	}
}
