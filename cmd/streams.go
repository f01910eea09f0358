package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// streams holds the streams of a command and formats its output: data to out,
// messages to err.
type streams struct {
	in       io.Reader
	out, err io.Writer

	inTTY, outTTY, errTTY bool

	json       bool
	noColor    bool
	configFile string

	inputs   []fs.FileInfo // files that the command has read
	stdinFor string        // the flag that reads standard input; only one can
	settings *settings.Settings

	atOnce     atomic.Pointer[string] // the message if a second interrupt stops the process
	committing sync.Mutex             // held while related files are written, which no interrupt may cut
}

// latch remembers the first error of a stream and writes nothing after it: lost output
// must not count as success.
type latch struct {
	io.Writer
	err error
}

func (l *latch) Write(b []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	var n int
	n, l.err = l.Writer.Write(b)
	return n, l.err
}

// serial lets several goroutines write to a stream, one after another.
type serial struct {
	mu sync.Mutex
	io.Writer
}

func (w *serial) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Writer.Write(b)
}

// Stat describes the file behind the stream, if it has one.
func (l *latch) Stat() (fs.FileInfo, error) {
	if f, ok := l.Writer.(*os.File); ok {
		return f.Stat()
	}
	return nil, errors.New("the stream is not a file")
}

func systemStreams() *streams {
	tty := func(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }
	return &streams{in: os.Stdin, out: os.Stdout, err: os.Stderr,
		inTTY: tty(os.Stdin), outTTY: tty(os.Stdout), errTTY: tty(os.Stderr)}
}

// paint returns text in color if the stream shows colors.
func (s *streams) paint(tty bool, text string, attributes ...color.Attribute) string {
	if !tty || s.noColor || s.json || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	c := color.New(attributes...)
	c.EnableColor() // fatih/color checks only standard output; this stream is known
	return c.Sprint(text)
}

func (s *streams) talk(level string, attribute color.Attribute, message, hint string) {
	if s.json {
		s.talkJSON(map[string]any{"level": level, "message": message, "hint": hint})
		return
	}
	label := s.paint(s.errTTY, level+":", color.Bold, attribute)
	fmt.Fprintf(s.err, "webpush: %s %s\n", label, printable.Text(message))
	s.hint(hint)
}

func (s *streams) hint(hint string) {
	if hint != "" {
		fmt.Fprintf(s.err, "webpush: %s %s\n", s.paint(s.errTTY, "hint:", color.FgCyan), printable.Text(hint))
	}
}

func (s *streams) talkJSON(fields map[string]any) {
	if fields["hint"] == "" {
		delete(fields, "hint")
	}
	b, err := marshal(fields, "")
	if err != nil {
		fmt.Fprintf(s.err, "webpush: error: %v\n", err)
		return
	}
	_, _ = s.err.Write(b)
}

// warn reports something that may be wrong and does not stop the command.
func (s *streams) warn(message, hint string) { s.talk("warning", color.FgYellow, message, hint) }

// note reports an action or a decision.
func (s *streams) note(format string, a ...any) {
	message := fmt.Sprintf(format, a...)
	if s.json {
		s.talkJSON(map[string]any{"level": "note", "message": message})
		return
	}
	fmt.Fprintf(s.err, "webpush: %s\n", printable.Text(message))
}

// serviceLog returns the log of a command that serves, as text, or as JSON if asJSON or
// --json is given. In JSON, durations are seconds.
func (s *streams) serviceLog(asJSON bool) *slog.Logger {
	if asJSON || s.json {
		seconds := func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.Float64Value(a.Value.Duration().Seconds())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{ReplaceAttr: seconds}))
	}
	return slog.New(slog.NewTextHandler(s.err, nil))
}

// lines prints the values that are not empty, each in the format with its name.
func (s *streams) lines(format string, named ...[2]string) {
	for _, v := range named {
		if v[1] != "" {
			fmt.Fprintf(s.out, format, v[0], printable.Text(v[1]))
		}
	}
}

// printURL prints the address of a server that listens, or v with --json.
func (s *streams) printURL(url string, v any) error {
	if s.json {
		return s.printJSON(v)
	}
	_, err := fmt.Fprintln(s.out, url)
	return err
}

// printJSON writes a result.
func (s *streams) printJSON(v any) error {
	b, err := marshal(v, "  ")
	if err != nil {
		return err
	}
	_, err = s.out.Write(b)
	return err
}

func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	return printable.JSON(b.Bytes()), nil
}

// finish prints the error of a command and returns its exit code.
func (s *streams) finish(ctx context.Context, err error) int {
	var silent *silentError
	if out, ok := s.out.(*latch); ok && out.err != nil && (err == nil || errors.As(err, &silent)) {
		err = out.err
	}
	if out, ok := s.out.(*latch); ok && out.err != nil && errors.Is(err, out.err) {
		err = fileio.WriteError("standard output", err)
	}
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		s.talk("error", color.FgRed, "interrupted", "")
		return exitInterrupted
	}
	code := exitCode(err)
	if errors.As(err, &silent) {
		return code
	}
	message, hint := err.Error(), hintOf(err)
	if !s.json {
		s.talk("error", color.FgRed, message, hint)
		return code
	}
	fields := map[string]any{"level": "error", "message": message, "hint": hint, "exit": code}
	var rejection *webpush.Error
	if errors.As(err, &rejection) {
		addFields(fields, rejection)
	}
	s.talkJSON(fields)
	return code
}

// addFields adds the JSON fields of a value, except those that are there.
func addFields(fields map[string]any, v json.Marshaler) {
	b, err := v.MarshalJSON()
	var more map[string]json.RawMessage
	if err != nil || json.Unmarshal(b, &more) != nil {
		return // impossible for values of this program
	}
	for name, value := range more {
		if _, ok := fields[name]; !ok {
			fields[name] = value
		}
	}
}

// plural returns a number with its noun.
func plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
