package cmd

// commandHints are hints of packages in the words of the command line: the
// packages do not know that there are flags. A test asserts that each is still a
// hint of a package.
var commandHints = map[string]string{
	"create a new subscription":                                   "create a new one with: webpush listen --new",
	"another program may use the same state; only one can":        "does another webpush listen run with the same --state? Only one can",
	"replace the subscription, or use another state to keep both": "use --new to replace the subscription, or --state FILE to keep both",
	"use 1 to 32 of A-Z a-z 0-9 - _":                              "use --topic-hash to make a valid topic from any text",
	"the data must be an object if there is a URL to open":        "use an object in --data, or omit --url",
	"add a title to the notification":                             "add --title",
	"add the absolute URL that a click opens":                     "add --url https://…",
	"push services use https; plain http is only for tests":       "push services use https; use --allow-http to allow plain http for tests",
	"untrusted endpoints can point into a private network":        "use --deny-private to refuse such endpoints",
	"check the proxy, or connect without one":                     "check the proxy, or connect without one: --proxy none",
	"check whether the server requires a client certificate":      "if the server requires a client certificate, pass it with --nats-cert and --nats-key",
	"trust the CA of the server's certificate":                    "pass the CA certificate with --nats-ca-file",
	"allow more time, or try again later":                         "increase --timeout, or try again later",
	"trust the CA that signed it, if it is yours":                 "pass the CA certificate with --ca-file",
	"also pass the value of the Crypto-Key header":                "pass the header's value with --crypto-key",

	"aud must be the endpoint's origin: omit it to use that":                            "aud must be the endpoint's origin: omit --audience to use it",
	"sign the message with an application server key":                                   "sign the message: pass a key with --private-key, or generate one with webpush gen",
	"encrypt with aes128gcm, and send the body with its headers":                        "encrypt with aes128gcm and send the body and headers that webpush encrypt prints",
	"send k as the key of 65 bytes in base64url without padding":                        "send k as webpush sign prints it",
	"send Authorization: vapid t=TOKEN, k=KEY":                                          "send the Authorization header that webpush sign prints",
	"verify the token: its form, signature, aud, exp, and sub":                          "check it with: webpush verify",
	"aud and sub must be strings and exp a whole number; verify the token":              "aud and sub must be strings and exp a whole number; check with: webpush verify",
	"verify the token; if other messages are accepted, subscribe this user agent again": "check the token with: webpush verify; if other messages are accepted, subscribe this user agent again",
	"send a shorter payload without padding, or limit the size of the body":             "send a shorter payload without padding, or set --max-body",
	"use a topic with another number of characters":                                     "use --topic-hash, or a topic with another number of characters",
	"use a topic with another number of characters if the message also goes to Safari":  "use --topic-hash if the message also goes to Safari",
	"refuse private addresses if the subscription is untrusted":                         "use --deny-private if the subscription is untrusted",
	"use VAPID: sign with an application server key":                                    "use VAPID: sign with --private-key",
	"use the scheme vapid unless the push service is old":                               "omit --scheme unless the push service is old",
	"add a payload":       "add a payload with -p",
	"allow a larger body": "increase --max-body, or omit it",
	"shorten the payload, or allow no larger body and no padding":                                                                                     "shorten the payload, or omit --max-body and --pad",
	"send a message with a TTL of 0: only its response shows the state":                                                                               "to find out, use webpush send --ttl 0, which delivers a message",
	"if it was published, it is exposed: anyone who has it can send in your name; generate a new key pair, and have every user agent subscribe again": "if it was published, it is exposed: anyone who has it can send in your name; generate a new pair with webpush gen, and have every user agent subscribe again",
	"only the receiver can decrypt: pass the receiver's keys":                                                                                         "only the receiver can decrypt: pass the file that webpush gen --receiver made",
	"write the public key instead":                             "use --public to write the public key",
	"write the private key instead":                            "omit --public to write the private key",
	"encrypt the message again for Web Push, in aes128gcm":     "encrypt it with webpush encrypt",
	"pass the headers of the message with its body":            "to print all of them, use webpush encrypt -e aesgcm --json",
	"encrypt each message with a key pair of its own":          "encrypt each message with a key pair of its own: webpush encrypt",
	"send the body with its headers":                           "send the headers that webpush encrypt prints",
	"check the message to see what browsers make of it":        "to see what browsers make of it, use webpush check",
	"write the key with its full width":                        "to write it with its full width, use webpush convert",
	"write the key in base64url without padding":               "webpush convert --to base64url",
	"Web Push needs no Firebase account, but a VAPID key pair": "Web Push needs no Firebase account: generate a key with webpush gen",
	"add a contact, such as mailto:you@your.domain":            "add a contact with --subject mailto:you@your.domain",
}

// commandHint returns a package's hint in the words of the command line.
func commandHint(hint string) string {
	if own, ok := commandHints[hint]; ok {
		return own
	}
	return hint
}
