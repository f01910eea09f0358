package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// hand prints a message or passes it to the program.
func (l *listener) hand(ctx context.Context, m *useragent.ReceivedMessage) error {
	switch {
	case l.json:
		if err := l.printLine(m); err != nil {
			return err
		}
	case l.o.program == "":
		return l.printText(m)
	}
	if l.o.program == "" {
		return nil
	}
	err := l.run(ctx, m)
	if err != nil && ctx.Err() != nil {
		l.warn("the program was interrupted: its message will arrive again", "")
		return context.Canceled
	}
	if err != nil {
		l.failed++
		l.warn(fmt.Sprintf("message %s: %s: %v", m.ID, l.o.program, err), "")
	}
	return nil
}

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
