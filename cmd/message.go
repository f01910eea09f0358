package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// payloadFlags are the flags for the payload and its encryption.
type payloadFlags struct {
	cmd          *cobra.Command
	text, file   string
	notification webpush.Notification
	data         string
	actions      []string
	declarative  bool
	ece.Options
}

func (o *payloadFlags) addFlags(c *cobra.Command) {
	o.cmd = c
	f := c.Flags()
	f.StringVarP(&o.text, "payload", "p", "", "set the payload to `TEXT`; - for standard input")
	f.StringVar(&o.file, "payload-file", "", "read the payload from `FILE`")
	o.addEncodingFlags(c)
	inGroup(f, "Payload")
	n := &o.notification
	f.StringVar(&n.Title, "title", "", "set the notification title to `TEXT`")
	f.StringVar(&n.Body, "body", "", "set the notification body to `TEXT`")
	f.StringVar(&n.Icon, "icon", "", "show the icon at `URL`")
	f.StringVar(&n.Image, "image", "", "show the image at `URL`")
	f.StringVar(&n.Badge, "badge", "", "show the monochrome badge at `URL`")
	f.StringVar(&n.Navigate, "url", "", "open `URL` on a click (navigate, and data.url)")
	f.StringVar(&n.Tag, "tag", "", "replace the notification with the same `TAG`")
	f.StringArrayVar(&o.actions, "action", nil, "add a button, `ID=TITLE`; repeatable")
	f.StringVar(&o.data, "data", "", "pass `JSON` to the service worker")
	f.BoolVar(&n.Silent, "silent", false, "show it without sound")
	f.BoolVar(&n.RequireInteraction, "require-interaction", false, "keep it until the user reacts")
	f.BoolVar(&o.declarative, "declarative", false, "send a declarative push message; requires --title and --url")
	inGroup(f, help.Notification)
}

// addEncodingFlags adds the flags for the encryption of the payload.
func (o *payloadFlags) addEncodingFlags(c *cobra.Command) {
	o.Options = ece.Options{Encoding: ece.AES128GCM, MaxBody: ece.MaxBody}
	f := c.Flags()
	wordFlag(c, &o.Encoding, "encoding", "e", "content encoding: aes128gcm (RFC 8291) or aesgcm (an old draft)", ece.AES128GCM, ece.AESGCM)
	f.Var(parsed(&o.Pad, "", "string", parsePad), "pad", "hide the length: pad to a multiple of `N` bytes, or auto (256)")
	f.Var(number(&o.MaxBody, 1, 0), "max-body", "refuse a body of more than `BYTES`")
	asSetting(f, "encoding", "pad", "max-body")
	complete(c, "pad", func() []string { return []string{"auto"} })
}

func parsePad(v string) (int, error) {
	if v == "auto" {
		return ece.PadAuto, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is neither a number of bytes nor auto", v)
	}
	return n, nil
}

// load returns the payload, or nil.
func (o *payloadFlags) load(s *streams) ([]byte, error) {
	var sources []string
	for _, name := range []string{"payload", "payload-file", help.Given(o.cmd.Flags(), help.Notification)} {
		if o.cmd.Flags().Changed(name) {
			sources = append(sources, name)
		}
	}
	if len(sources) > 1 {
		return nil, usage("set the payload in one way", "--%s and --%s cannot be combined: both set the payload", sources[0], sources[1])
	}
	switch {
	case sources == nil:
		return nil, nil
	case sources[0] == "payload" && o.text != "-":
		return []byte(o.text), nil
	case sources[0] == "payload":
		return o.read(s, "-")
	case sources[0] == "payload-file":
		return o.read(s, o.file)
	}
	return o.notificationPayload()
}

// read reads a payload as it is, without removing a byte order mark. An
// empty one is still a payload.
func (o *payloadFlags) read(s *streams, name string) ([]byte, error) {
	b, err := s.inputBytes(name, "the payload")
	if err == nil && b == nil {
		b = []byte{}
	}
	return b, err
}

func (o *payloadFlags) notificationPayload() ([]byte, error) {
	n := o.notification
	for _, a := range o.actions {
		id, title, ok := strings.Cut(a, "=")
		if !ok || id == "" || title == "" {
			return nil, usage("use the form --action open=Open", "--action: %q is not of the form ID=TITLE", a)
		}
		n.Actions = append(n.Actions, webpush.Action{Action: id, Title: title})
	}
	if o.data != "" {
		if !json.Valid([]byte(o.data)) {
			if exists(o.data) {
				return nil, usage("send the file with --payload-file "+shellWord(o.data), "--data expects JSON text, but %q is a file", o.data)
			}
			return nil, usage(`quote it for the shell: --data '{"id": 7}'`, "--data: %q is not valid JSON", o.data)
		}
		n.Data = json.RawMessage(o.data)
	}
	make, flag := n.Payload, "data"
	if o.declarative {
		make, flag = n.Declarative, "declarative"
	}
	b, err := make()
	return b, wrongFlag(flag, err)
}

// messageFlags are the flags of a message.
type messageFlags struct {
	payload   payloadFlags
	ttl       time.Duration
	urgency   webpush.Urgency
	topic     string
	topicHash string
	headers   []string
	wnsType   string
	gcmKey    string
	gcmRegID  string
}

func (o *messageFlags) addFlags(c *cobra.Command) {
	o.payload.addFlags(c)
	o.addCommonFlags(c)
	f := c.Flags()
	f.StringVar(&o.topic, "topic", "", "replace an undelivered message of the same `TOPIC`: 1 to 32 of A-Z a-z 0-9 - _")
	f.StringVar(&o.topicHash, "topic-hash", "", "like --topic, but derive the topic from any `TEXT`")
	f.StringVar(&o.gcmKey, "gcm-key", "", "send the legacy request with the GCM server `KEY`: a file, env:NAME, or the key")
	f.StringVar(&o.gcmRegID, "gcm-reg-id", "", "with --gcm-key: send to the registration `ID` (default: the end of the endpoint)")
	inGroup(f, "Message")
	asSetting(f, "gcm-key")
}

// addCommonFlags adds the flags that send and worker share.
func (o *messageFlags) addCommonFlags(c *cobra.Command) {
	f := c.Flags()
	o.ttl = webpush.DefaultTTL
	f.Var(duration(&o.ttl, 0, 0), "ttl", "how long the push service keeps the message; 0 means now or never")
	wordFlag(c, &o.urgency, "urgency", "", "very-low, low, normal, or high", webpush.Urgencies()...)
	f.StringArrayVar(&o.headers, "header", nil, "add a header, `'Name: value'`; repeatable")
	f.StringVar(&o.wnsType, "wns-type", "", "add X-WNS-Type, such as `wns/raw`")
	inGroup(f, "Message")
	asSetting(f, "ttl", "urgency", "wns-type")
}

// faultless returns the message, or the first of its flaws as an error.
func (o *messageFlags) faultless(s *streams) (webpush.Message, error) {
	d := new(delivery)
	if err := o.message(s, d); err != nil {
		return webpush.Message{}, err
	}
	return d.message, d.firstFlaw()
}

// message sets the message of a delivery. Values that a push service rejects are flaws.
func (o *messageFlags) message(s *streams, d *delivery) error {
	m := &d.message
	m.Encoding, m.Pad, m.MaxBody = o.payload.Encoding, o.payload.Pad, o.payload.MaxBody
	d.flawed(wrongFlag("ttl", webpush.CheckTTL(o.ttl)))
	m.TTL = new(o.ttl)
	m.Urgency = o.urgency
	m.Topic = o.topic
	if o.payload.cmd.Flags().Changed("topic") {
		err := wrongFlag("topic", webpush.CheckTopic(o.topic))
		if o.topic == "" {
			return err // an empty Topic in the message means none
		}
		d.flawed(err)
	}
	if o.topicHash != "" {
		m.Topic = webpush.HashTopic(o.topicHash)
	}
	m.Header = make(http.Header)
	for _, h := range o.headers {
		name, value, err := headerLine(h)
		if err != nil {
			return err
		}
		d.flawed(wrongFlag("header", webpush.CheckHeader(name, value)))
		m.Header.Add(name, value)
	}
	if o.wnsType != "" {
		if err := webpush.CheckHeader("X-WNS-Type", o.wnsType); err != nil {
			return wrongFlag("wns-type", err)
		}
		m.Header.Set("X-WNS-Type", o.wnsType)
	}
	if o.gcmRegID != "" && o.gcmKey == "" {
		return usage("add --gcm-key FILE, or omit --gcm-reg-id", "--gcm-reg-id requires --gcm-key")
	}
	if o.gcmKey != "" {
		key, err := o.readGCMKey(s)
		if err != nil {
			return err
		}
		m.GCM = &webpush.GCM{Key: key, RegistrationID: o.gcmRegID}
	}
	payload, err := o.payload.load(s)
	m.Payload = payload
	return err
}

// headerLine returns the name and the value of a --header.
func headerLine(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return "", "", usage("use the form --header 'Name: value'", "--header: %q is not of the form Name: value", line)
	}
	return name, strings.Trim(value, " \t"), nil
}

// readGCMKey reads the key from a file or the environment. It also accepts a
// literal key, as pywebpush does.
func (o *messageFlags) readGCMKey(s *streams) (string, error) {
	key, named, err := envSecret("--gcm-key", o.gcmKey, "the key")
	switch {
	case err != nil:
		return "", err
	case named:
	case exists(key):
		b, err := s.file(key)
		if err != nil {
			return "", err
		}
		key = string(b)
	case source(o.payload.cmd, "gcm-key") == "--gcm-key":
		s.warn("the GCM key is on the command line, where other users of this machine can see it", "pass a file, or --gcm-key env:NAME")
	}
	return strings.TrimSpace(key), nil
}
