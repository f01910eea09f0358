package cmd

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// run runs the program for a message.
func (l *listener) run(ctx context.Context, m *useragent.ReceivedMessage) error {
	c := exec.CommandContext(ctx, l.o.program, l.o.arguments...)
	c.Stdin = bytes.NewReader(m.Payload)
	c.Stdout, c.Stderr = l.out, l.err
	if l.json {
		c.Stdout = l.err
	}
	c.Env = append(os.Environ(), messageEnvironment(m)...)
	c.Cancel = func() error {
		if c.Process.Signal(os.Interrupt) == nil {
			return nil
		}
		return c.Process.Kill()
	}
	c.WaitDelay = 5 * time.Second
	return c.Run()
}

// messageEnvironment returns the variables for a program. A value with a zero byte
// is omitted, because the environment cannot hold it.
func messageEnvironment(m *useragent.ReceivedMessage) []string {
	n, _, _ := webpush.ParseNotification(m.Payload)
	ttl := ""
	if seconds, ok := m.Seconds(); ok {
		ttl = strconv.FormatInt(seconds, 10)
	}
	var list []string
	for _, v := range [][2]string{
		{"ID", m.ID}, {"TIME", m.Time.UTC().Format(time.RFC3339Nano)}, {"SUBSCRIPTION", m.Name()}, {"ENCODING", string(m.Encoding)}, {"TTL", ttl}, {"URGENCY", m.Urgency}, {"TOPIC", m.Topic},
		{"TITLE", n.Title}, {"BODY", n.Body}, {"URL", n.Navigate},
	} {
		if !strings.ContainsRune(v[1], 0) {
			list = append(list, "WEBPUSH_MESSAGE_"+v[0]+"="+v[1])
		}
	}
	return list
}
