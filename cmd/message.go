package cmd

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// payloadFlags are the flags for the payload and its encryption.
type payloadFlags struct {
	cmd               *cobra.Command
	text, file        string
	title, body, icon string
	image, badge, url string
	tag, data         string
	actions           []string
	silent, require   bool
	declarative       bool
	encoding          enumFlag
	pad               string
	maxBody           int
}

// notificationFlags make a payload, so they cannot be combined with -p.
var notificationFlags = []string{"title", "body", "icon", "image", "badge", "url", "tag", "data", "action", "silent", "require-interaction", "declarative"}

func (o *payloadFlags) addFlags(c *cobra.Command) {
	o.cmd = c
	f := c.Flags()
	f.StringVarP(&o.text, "payload", "p", "", "set the payload to `TEXT`; - for standard input")
	f.StringVar(&o.file, "payload-file", "", "read the payload from `FILE`")
	o.addEncodingFlags(c)
	inGroup(f, "Payload")
	f.StringVar(&o.title, "title", "", "set the notification title to `TEXT`")
	f.StringVar(&o.body, "body", "", "set the notification body to `TEXT`")
	f.StringVar(&o.icon, "icon", "", "show the icon at `URL`")
	f.StringVar(&o.image, "image", "", "show the image at `URL`")
	f.StringVar(&o.badge, "badge", "", "show the monochrome badge at `URL`")
	f.StringVar(&o.url, "url", "", "open `URL` on a click (navigate, and data.url)")
	f.StringVar(&o.tag, "tag", "", "replace the notification with the same `TAG`")
	f.StringArrayVar(&o.actions, "action", nil, "add a button, `ID=TITLE`; repeatable")
	f.StringVar(&o.data, "data", "", "pass `JSON` to the service worker")
	f.BoolVar(&o.silent, "silent", false, "show it without sound")
	f.BoolVar(&o.require, "require-interaction", false, "keep it until the user reacts")
	f.BoolVar(&o.declarative, "declarative", false, "send a declarative push message; requires --title and --url")
	inGroup(f, "Notification, instead of a payload")
}

// addEncodingFlags adds the flags for the encryption of the payload.
func (o *payloadFlags) addEncodingFlags(c *cobra.Command) {
	o.encoding = newEnum(string(ece.AES128GCM), string(ece.AES128GCM), string(ece.AESGCM))
	f := c.Flags()
	f.VarP(&o.encoding, "encoding", "e", "content encoding: aes128gcm (RFC 8291) or aesgcm (an old draft)")
	f.StringVar(&o.pad, "pad", "", "hide the length: pad to a multiple of `N` bytes, or auto (256)")
	o.maxBody = ece.MaxBody
	f.Var(number(&o.maxBody, 1, 0), "max-body", "refuse a body of more than `BYTES`")
	asSetting(f, "encoding", "pad", "max-body")
	completeEnum(c, "encoding", &o.encoding)
	complete(c, "pad", func() []string { return []string{"auto"} })
}

// load returns the payload, or nil.
func (o *payloadFlags) load(s *streams) ([]byte, error) {
	set := o.cmd.Flags().Changed
	var sources []string
	for _, name := range []string{"payload", "payload-file"} {
		if set(name) {
			sources = append(sources, "--"+name)
		}
	}
	for _, name := range notificationFlags {
		if set(name) {
			sources = append(sources, "--"+name)
			break
		}
	}
	if len(sources) > 1 {
		return nil, usage("set the payload in one way", "%s and %s cannot be combined: both set the payload", sources[0], sources[1])
	}
	if len(sources) == 0 {
		return nil, nil
	}
	switch sources[0] {
	case "--payload":
		if o.text == "-" {
			return o.read(s, "-")
		}
		return []byte(o.text), nil
	case "--payload-file":
		return o.read(s, o.file)
	}
	return o.notification()
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

func (o *payloadFlags) notification() ([]byte, error) {
	n := webpush.Notification{Title: o.title, Body: o.body, Icon: o.icon, Image: o.image, Badge: o.badge, Tag: o.tag,
		Navigate: o.url, Silent: o.silent, RequireInteraction: o.require}
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

// fill sets the encryption of a message.
func (o *payloadFlags) fill(m *webpush.Message) error {
	m.Encoding = ece.Encoding(o.encoding.String())
	m.MaxBody = o.maxBody
	switch o.pad {
	case "", "0":
	case "auto":
		m.Pad = ece.PadAuto
	default:
		n, err := strconv.Atoi(o.pad)
		if err != nil || n < 0 {
			return usage("", "--pad: %q is neither a number of bytes nor auto", o.pad)
		}
		m.Pad = n
	}
	return nil
}
