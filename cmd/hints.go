package cmd

// commandHints are hints of packages in the words of the command line: the
// packages do not know that there are flags. A test asserts that each is still a
// hint of a package.
var commandHints = map[string]string{
	"use 1 to 32 of A-Z a-z 0-9 - _":                          "--topic-hash makes a valid topic of any text",
	"the data must be an object if there is a URL to open":    "give --data an object, or omit --url",
	"give the notification a title":                           "add --title",
	"give the absolute URL that a click opens":                "add --url https://…",
	"push services use https; plain http is for tests":        "push services use https; --allow-http allows plain http for tests",
	"endpoints of strangers can point into a private network": "endpoints of this kind are refused by --deny-private",
	"check the proxy, or connect without one":                 "check the proxy, or use none with --proxy none",
	"allow more time, or try again later":                     "raise --timeout, or try again later",
	"trust the authority that signed it, if it is yours":      "give the authority's certificate with --ca-file",
	"give the value of the Crypto-Key header as well":         "give the header's value with --crypto-key",
}

// commandHint returns a package's hint in the words of the command line.
func commandHint(hint string) string {
	if own, ok := commandHints[hint]; ok {
		return own
	}
	return hint
}
