package cmd

// commandHints are hints of packages in the words of the command line: the
// packages do not know that there are flags. A test asserts that each is still a
// hint of a package.
var commandHints = map[string]string{
	"use 1 to 32 of A-Z a-z 0-9 - _":                       "--topic-hash makes a valid topic of any text",
	"the data must be an object if there is a URL to open": "give --data an object, or omit --url",
	"give the notification a title":                        "add --title",
	"give the absolute URL that a click opens":             "add --url https://…",
	"push services use https; plain http is for tests":     "push services use https; --allow-http allows plain http for tests",
	"untrusted endpoints can point into a private network": "endpoints of this kind are refused by --deny-private",
	"check the proxy, or connect without one":              "check the proxy, or use none with --proxy none",
	"allow more time, or try again later":                  "raise --timeout, or try again later",
	"trust the authority that signed it, if it is yours":   "give the authority's certificate with --ca-file",
	"give the value of the Crypto-Key header as well":      "give the header's value with --crypto-key",

	"aud must be the endpoint's origin: it is filled in if none is given":              "aud must be the endpoint's origin: omit --audience to use it",
	"sign the message with an application server key":                                  "sign the message: pass a key with --private-key, or generate one with webpush gen",
	"encrypt with aes128gcm, and send the headers that belong to the body":             "encrypt with aes128gcm and send the body and headers that webpush encrypt prints",
	"send k as the key of 65 bytes in base64url without padding":                       "send k as webpush sign prints it",
	"send Authorization: vapid t=TOKEN, k=KEY":                                         "send the Authorization header that webpush sign prints",
	"verify the token: its form, signature, aud, exp, and sub":                         "check it with: webpush verify",
	"aud and sub must be strings and exp a whole number; verify the token":             "aud and sub must be strings and exp a whole number; check with: webpush verify",
	"verify the token; if others go through, subscribe this user agent again":          "check the token with: webpush verify; if others go through, subscribe this user agent again",
	"send a shorter payload without padding, or limit the size of the body":            "send a shorter payload without padding, or set --max-body",
	"use a topic with another number of characters":                                    "use --topic-hash, or a topic with another number of characters",
	"use a topic with another number of characters if the message also goes to Safari": "use --topic-hash if the message also goes to Safari",
	"refuse private addresses if the subscription is untrusted":                        "use --deny-private if the subscription is untrusted",
	"use VAPID: sign with an application server key":                                   "use VAPID: sign with --private-key",
	"use the scheme vapid unless the push service is old":                              "omit --scheme unless the push service is old",
	"add a payload": "give a payload with -p",
	"shorten the payload, or allow no larger body and no padding":                                                                                 "shorten the payload, or omit --max-body and --pad",
	"send a message with a TTL of 0: only its response shows the state":                                                                           "webpush send --ttl 0 finds out, and shows what is sent",
	"if it was published, it is exposed: anyone who has it can send in your name; make a new key pair, and have every user agent subscribe again": "if it was published, it is exposed: anyone who has it can send in your name; make a new pair with webpush gen, and have every user agent subscribe again",
	"encrypt the message again for Web Push, in aes128gcm":                                                                                        "encrypt it with webpush encrypt",
	"give the headers of the message with its body":                                                                                               "webpush encrypt -e aesgcm --json prints all of them",
	"encrypt each message with a key pair of its own":                                                                                             "encrypt each message with a key pair of its own: webpush encrypt",
	"send the headers that belong to the body":                                                                                                    "send the headers that webpush encrypt prints",
	"check the message to see what browsers make of it":                                                                                           "webpush check says what browsers make of it",
	"write the key with its full width":                                                                                                           "webpush convert writes it with its full width",
	"write the key in base64url without padding":                                                                                                  "webpush convert --to base64url",
	"Web Push needs no Firebase account, but a VAPID key pair":                                                                                    "Web Push needs no Firebase account: make a key with webpush gen",
	"name a contact, such as mailto:you@your.domain":                                                                                              "give a contact with --subject mailto:you@your.domain",
}

// commandHint returns a package's hint in the words of the command line.
func commandHint(hint string) string {
	if own, ok := commandHints[hint]; ok {
		return own
	}
	return hint
}
