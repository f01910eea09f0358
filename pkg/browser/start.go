package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// PushService is the push service that a browser uses.
type PushService struct {
	// WebSocket is the URL that Firefox connects to, ws://host:port or
	// wss://host:port.
	WebSocket string
	// Certificate is the certificate of the server at a WebSocket URL with wss, in
	// DER. Firefox accepts it there even if no CA that it trusts has signed it. Nil
	// makes Firefox verify the certificate as usual.
	Certificate []byte
	// Address is the host:port that Chromium connects to, over TLS.
	Address string
	// PublicKeyHash is the SHA-256 hash of the public key of the certificate at
	// Address, in standard base64. The browser accepts that certificate.
	PublicKeyHash string
}

// Options configures [Browser.Start].
type Options struct {
	// PushService is the push service to use.
	PushService PushService
	// URL is the page to open; empty means about:blank.
	URL string
	// Headless starts the browser without a window.
	Headless bool
	// AllowNotifications gives every page the permission for notifications, like a
	// visitor who accepts the prompt.
	AllowNotifications bool
	// Offline keeps the browser off the network, except for this machine.
	Offline bool
	// Remote lets [Process.Page] control the browser.
	Remote bool
	// Profile is the directory of the profile, which is kept. If empty, a new
	// profile is created, and removed by [Process.Close].
	Profile string
	// Env are additional environment variables, NAME=value.
	Env []string
}

// Process is a running browser.
type Process struct {
	// Settings are the command-line switches or preferences that make the browser
	// use the push service, in a readable form.
	Settings []string
	// Profile is the directory of its profile.
	Profile string

	browser *Browser
	command *exec.Cmd
	address chan string // address of the remote protocol
	done    chan struct{}
	err     error // set before done is closed
	remove  bool
	closing sync.Once
}

const (
	// stopTimeout is the time limit for a browser to exit.
	stopTimeout = 10 * time.Second
	// startTimeout is the time limit for a browser to start.
	startTimeout = time.Minute
)

// Start starts the browser. [Process.Close] must be called, even if the browser has
// exited.
func (b *Browser) Start(o Options) (_ *Process, err error) {
	p := &Process{browser: b, Profile: o.Profile, address: make(chan string, 1), done: make(chan struct{})}
	if p.Profile == "" {
		if p.Profile, err = os.MkdirTemp(b.profileRoot(), "webpush-browser-"); err != nil {
			return nil, err
		}
		p.remove = true
	}
	var args []string
	if b.family == firefox {
		args, err = p.setUpFirefox(o)
	} else {
		args, err = p.setUpChromium(o)
	}
	if err == nil {
		p.command = exec.Command(b.Path, args...)
		p.command.Env = append(append(os.Environ(), "MOZ_CRASHREPORTER_DISABLE=1"), o.Env...)
		var stderr io.ReadCloser
		if stderr, err = p.command.StderrPipe(); err == nil {
			if err = p.command.Start(); err == nil {
				go p.watch(stderr)
				return p, nil
			}
		}
	}
	close(p.done)
	return nil, errors.Join(err, p.removeProfile())
}

// profileRoot returns a directory for profiles that the browser can access; empty
// means the directory for temporary files.
func (b *Browser) profileRoot() string {
	if name := snap(b.Path); name != "" {
		if home, err := os.UserHomeDir(); err == nil {
			dir := filepath.Join(home, "snap", name, "common")
			if os.MkdirAll(dir, 0o700) == nil {
				return dir
			}
		}
	}
	return ""
}

// watch reads the browser's standard error until it has exited.
func (p *Process) watch(stderr io.Reader) {
	r := bufio.NewReaderSize(stderr, 4096)
	last := ""
	for {
		line, err := r.ReadSlice('\n')
		if text := strings.TrimSpace(string(line)); text != "" {
			last = text
		}
		for _, announced := range []string{"WebDriver BiDi listening on ", "DevTools listening on "} {
			if _, url, ok := strings.Cut(string(line), announced); ok {
				select {
				case p.address <- strings.TrimSpace(url):
				default:
				}
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if p.err = p.command.Wait(); p.err != nil && last != "" {
		p.err = fmt.Errorf("%w; its last message: %q", p.err, last)
	}
	close(p.done)
}

// Done is closed when the browser has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the browser has exited, or ctx is done.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill kills the browser and keeps its profile until [Process.Close].
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.done
}

// Stop makes the browser exit, and keeps its profile until [Process.Close].
func (p *Process) Stop() {
	if runtime.GOOS == "windows" || p.command.Process.Signal(terminate) != nil {
		_ = p.command.Process.Kill()
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
	}
}

// Close makes the browser exit and removes its profile, unless the profile was in the
// options.
func (p *Process) Close() (err error) {
	p.closing.Do(func() {
		p.Stop()
		err = p.removeProfile()
	})
	return err
}

// removeProfile retries several times, because the last processes of a browser may
// still write files after the first has exited.
func (p *Process) removeProfile() error {
	if !p.remove {
		return nil
	}
	var err error
	for range 20 {
		if err = os.RemoveAll(p.Profile); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the profile could not be removed: %w", err)
}
