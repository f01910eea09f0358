package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// Page controls the first page of a browser: Firefox through WebDriver BiDi, Chromium
// through the DevTools protocol. Only one goroutine at a time can use it.
type Page struct {
	ws       *websocket.Conn
	id       int
	chromium bool
	context  string // the page: a browsing context, or a session
}

// Page connects to a browser that was started with [Options].Remote.
func (p *Process) Page(ctx context.Context) (*Page, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var url string
	select {
	case url = <-p.address:
	case <-p.done:
		return nil, fmt.Errorf("%s has exited: %v", p.browser.Title, p.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s has not started within %v", p.browser.Title, startTimeout)
	}
	g := &Page{chromium: p.browser.family == chromium}
	if !g.chromium {
		url += "/session"
	}
	var err error
	if g.ws, _, err = websocket.Dial(ctx, url, nil); err != nil {
		return nil, err
	}
	g.ws.SetReadLimit(16 << 20)
	if g.chromium {
		err = g.attach(ctx)
	} else {
		if err = g.call(ctx, "session.new", object{"capabilities": object{}}, nil); err == nil {
			g.context, err = g.topContext(ctx, object{})
		}
	}
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Close disconnects from the browser, which keeps running.
func (g *Page) Close() { _ = g.ws.CloseNow() }

type object = map[string]any

// attach finds the page of a Chromium and starts a session with it.
func (g *Page) attach(ctx context.Context) error {
	for ctx.Err() == nil {
		var targets struct {
			TargetInfos []struct{ TargetID, Type string }
		}
		if err := g.call(ctx, "Target.getTargets", object{}, &targets); err != nil {
			return err
		}
		for _, target := range targets.TargetInfos {
			if target.Type == "page" {
				var session struct{ SessionID string }
				err := g.call(ctx, "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &session)
				g.context = session.SessionID
				return err
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the browser has no page")
}

// topContext returns the first top-level browsing context that matches the
// parameters.
func (g *Page) topContext(ctx context.Context, params object) (string, error) {
	var tree struct{ Contexts []struct{ Context string } }
	if err := g.call(ctx, "browsingContext.getTree", params, &tree); err != nil {
		return "", err
	}
	if len(tree.Contexts) == 0 {
		return "", errors.New("the browser has no page")
	}
	return tree.Contexts[0].Context, nil
}

// call sends a command of either protocol and reads its result.
func (g *Page) call(ctx context.Context, method string, params object, result any) error {
	g.id++
	command := object{"id": g.id, "method": method, "params": params}
	if g.chromium && g.context != "" {
		command["sessionId"] = g.context
	}
	b, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if err := g.ws.Write(ctx, websocket.MessageText, b); err != nil {
		return err
	}
	for {
		_, text, err := g.ws.Read(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var response struct {
			ID     int
			Error  json.RawMessage
			Result json.RawMessage
		}
		if err := json.Unmarshal(text, &response); err != nil {
			return err
		}
		switch {
		case response.ID != g.id: // an event
		case response.Error != nil:
			return fmt.Errorf("%s: %s", method, text)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(response.Result, result)
		}
	}
}

// value is a value of the page: a string, or a reference to an element.
type value struct {
	Value    any
	SharedID string
}

func (g *Page) evaluate(ctx context.Context, where, script string) (value, error) {
	expression := "(async () => {" + script + "})()"
	if g.chromium {
		var v struct {
			Result           value
			ExceptionDetails *struct {
				Text      string
				Exception struct{ Description string }
			}
		}
		err := g.call(ctx, "Runtime.evaluate", object{"expression": expression, "awaitPromise": true, "returnByValue": true}, &v)
		if err == nil && v.ExceptionDetails != nil {
			err = fmt.Errorf("the page: %s %s", v.ExceptionDetails.Text, v.ExceptionDetails.Exception.Description)
		}
		return v.Result, err
	}
	var v struct {
		Type             string
		Result           value
		ExceptionDetails struct{ Text string }
	}
	err := g.call(ctx, "script.evaluate", object{"expression": expression, "awaitPromise": true, "target": object{"context": where}}, &v)
	if err == nil && v.Type != "success" {
		err = fmt.Errorf("the page: %s", v.ExceptionDetails.Text)
	}
	return v.Result, err
}

// Open goes to a URL and waits until the page is loaded.
func (g *Page) Open(ctx context.Context, url string) error {
	if !g.chromium {
		return g.call(ctx, "browsingContext.navigate", object{"context": g.context, "url": url, "wait": "complete"}, nil)
	}
	var result struct{ ErrorText string }
	if err := g.call(ctx, "Page.navigate", object{"url": url}, &result); err != nil {
		return err
	}
	if result.ErrorText != "" {
		return fmt.Errorf("%s: %s", url, result.ErrorText)
	}
	for {
		state, err := g.Run(ctx, "return document.readyState")
		if err == nil && state == "complete" {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run runs the body of an async function in the page. It returns the result if
// it is a string, and "" otherwise.
func (g *Page) Run(ctx context.Context, script string) (string, error) {
	v, err := g.evaluate(ctx, g.context, script)
	s, _ := v.Value.(string)
	return s, err
}

// RunPrivileged is [Page.Run] with the privileges of the browser itself. Only Firefox
// supports it.
func (g *Page) RunPrivileged(ctx context.Context, script string) (string, error) {
	if g.chromium {
		return "", errors.New("Chromium does not run privileged scripts")
	}
	where, err := g.topContext(ctx, object{"moz:scope": "chrome"})
	if err != nil {
		return "", err
	}
	v, err := g.evaluate(ctx, where, script)
	s, _ := v.Value.(string)
	return s, err
}

// Click scrolls to the element with an id and clicks on it with the mouse.
func (g *Page) Click(ctx context.Context, id string) error {
	name, err := json.Marshal(id)
	if err != nil {
		return err
	}
	find := "const e = document.getElementById(" + string(name) + "); if (e) e.scrollIntoView({block: 'center', behavior: 'instant'});"
	if !g.chromium {
		e, err := g.evaluate(ctx, g.context, find+" return e;")
		if err == nil && e.SharedID == "" {
			err = fmt.Errorf("element not found: %q", id)
		}
		if err != nil {
			return err
		}
		return g.call(ctx, "input.performActions", object{"context": g.context, "actions": []object{{"type": "pointer", "id": "mouse", "actions": []object{
			{"type": "pointerMove", "x": 0, "y": 0, "origin": object{"type": "element", "element": object{"sharedId": e.SharedID}}},
			{"type": "pointerDown", "button": 0},
			{"type": "pointerUp", "button": 0},
		}}}}, nil)
	}
	text, err := g.Run(ctx, find+" if (!e) return ''; const b = e.getBoundingClientRect(); return JSON.stringify({x: b.x + b.width / 2, y: b.y + b.height / 2});")
	if err == nil && text == "" {
		err = fmt.Errorf("element not found: %q", id)
	}
	if err != nil {
		return err
	}
	var at struct{ X, Y float64 }
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		return err
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		if err := g.call(ctx, "Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil); err != nil {
			return err
		}
	}
	return nil
}
