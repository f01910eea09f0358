// Package browsertest drives real browsers in tests, with nothing but the browser
// installed.
package browsertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/browser"
)

// PushService is the push service that a browser is made to use.
type PushService = browser.PushService

// Options configures a browser for a test. Profile is kept over starts if it is
// given.
type Options struct {
	Name        string // one of [browser.Names]
	PushService PushService
	Profile     string
}

// Browser is a headless browser with a profile of its own, and one page. What
// fails ends the test.
type Browser struct {
	tb      testing.TB
	process *browser.Process
	page    *browser.Page
}

// Start starts a browser that uses a push service on this machine, reaches
// nothing else, and exits with the test. If it is not installed, the test is
// skipped.
func Start(tb testing.TB, o Options) *Browser {
	tb.Helper()
	found, err := browser.Find(o.Name, "")
	if missing := (*browser.NotFoundError)(nil); errors.As(err, &missing) {
		tb.Skipf("SKIPPED the test with a real %s: %v", o.Name, err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	b := &Browser{tb: tb}
	b.process, err = found.Start(browser.Options{
		PushService:        o.PushService,
		Headless:           true,
		AllowNotifications: true,
		Offline:            true,
		Remote:             true,
		Profile:            o.Profile,
		Env:                []string{"HOME=" + tb.TempDir()},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.process.Close(); err != nil {
			tb.Error(err)
		}
	})
	if b.page, err = b.process.Page(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.page.Close)
	return b
}

// context bounds one command.
func (b *Browser) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.tb.Context(), 90*time.Second)
}

// Open goes to a URL and waits until the page is loaded.
func (b *Browser) Open(url string) {
	b.tb.Helper()
	ctx, cancel := b.context()
	defer cancel()
	if err := b.page.Open(ctx, url); err != nil {
		b.tb.Fatal(err)
	}
}

// Run runs the body of an async function in the page. It returns the string
// that it resolves to, or an empty one for anything else.
func (b *Browser) Run(script string) string {
	b.tb.Helper()
	ctx, cancel := b.context()
	defer cancel()
	s, err := b.page.Run(ctx, script)
	if err != nil {
		b.tb.Fatalf("%v\n%s", err, script)
	}
	return s
}

// RunPrivileged is [Browser.Run] with the rights of the browser itself, which
// only Firefox gives.
func (b *Browser) RunPrivileged(script string) string {
	b.tb.Helper()
	ctx, cancel := b.context()
	defer cancel()
	s, err := b.page.RunPrivileged(ctx, script)
	if err != nil {
		b.tb.Fatalf("%v\n%s", err, script)
	}
	return s
}

// Click scrolls to the element with an id and clicks on it with the mouse.
func (b *Browser) Click(id string) {
	b.tb.Helper()
	ctx, cancel := b.context()
	defer cancel()
	if err := b.page.Click(ctx, id); err != nil {
		b.tb.Fatal(err)
	}
}

// Stop makes the browser exit. It can be started again with its profile.
func (b *Browser) Stop() { b.process.Stop() }
