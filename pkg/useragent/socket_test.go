package useragent_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// receive takes the next message without payload and expects its id.
func receive(t *testing.T, sub *useragent.Subscription, id string) *useragent.ReceivedMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	m, err := sub.Receive(ctx)
	if err != nil {
		t.Fatalf("receiving %s: %v", id, err)
	}
	if m.ID != id {
		t.Fatalf("received %s, want %s", m.ID, id)
	}
	return m
}

func ack(t *testing.T, sub *useragent.Subscription, m *useragent.ReceivedMessage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := sub.Ack(ctx, m); err != nil {
		t.Fatal(err)
	}
}

func closeSub(t *testing.T, sub *useragent.Subscription) {
	t.Helper()
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if m, err := sub.Receive(t.Context()); m != nil || err != useragent.ErrClosed {
		t.Errorf("after Close: %v, %v", m, err)
	}
}

// TestSocketLoop is the whole way: register with a key, both encodings, no
// payload, and what cannot be decrypted.
func TestSocketLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := vapid.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		padded := base64.URLEncoding.EncodeToString(key.PublicKey().Bytes())
		recipients := make(chan *ece.Recipient, 1)
		a := newAutopush(t, func(c *agentConn) {
			c.hello("", uaid)
			c.register(padded, endpoint)
			r := <-recipients
			c.send("{}")
			c.send(`{"messageType":"broadcast","broadcasts":{"a/b":"1"}}`)
			for i, e := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
				m, err := r.Encrypt(fmt.Append(nil, "grüße ", e), ece.Options{Encoding: e})
				if err != nil {
					t.Error(err)
				}
				c.message(fmt.Sprint("v", i), m)
				c.acked(fmt.Sprint("v", i), 100)
			}
			c.notify("v2")
			c.acked("v2", 100)
			m, err := r.Encrypt([]byte("x"), ece.Options{})
			if err != nil {
				t.Error(err)
			}
			m.Body[len(m.Body)-1] ^= 1
			c.message("v3", m)
			c.acked("v3", 101)
			for i, bad := range []string{`"data":"!"`, `"data":7`, `"data":"AAAA"`, `"data":"AAAA","headers":7`, `"data":"AAAA","headers":{"encoding":"gzip"}`} {
				c.send(`{"messageType":"notification","channelID":%q,"version":"bad%d",%s}`, c.channel, i, bad)
				c.acked(fmt.Sprint("bad", i), 101)
			}
			c.send(`{"messageType":"notification","channelID":"11111111-2222-4333-8444-555555555555","version":"foreign"}`)
			c.expect(`{"messageType":"ack","updates":[{"channelID":"11111111-2222-4333-8444-555555555555","version":"foreign","code":102}]}`)
			c.hold()
		})
		defer a.close()
		o := a.options()
		o.ApplicationServerKey = key.PublicKey()
		sub, err := useragent.Subscribe(t.Context(), autopushURL, o)
		if err != nil {
			t.Fatal(err)
		}
		recipients <- sub.Identity().Recipient()
		if sub.Endpoint() != endpoint || sub.ApplicationServerKey() != key.PublicKey() {
			t.Errorf("endpoint %s, key %v", sub.Endpoint(), sub.ApplicationServerKey())
		}
		for _, want := range []string{"grüße aes128gcm", "grüße aesgcm"} {
			m, err := sub.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Payload) != want || m.Headers["content-encoding"] != string(m.Encoding) || (m.Headers["crypto-key"] != "") != (m.Encoding == ece.AESGCM) || !m.Time.Equal(time.Now()) {
				t.Errorf("got %+v, want %s", m, want)
			}
			ack(t, sub, m)
		}
		if m := receive(t, sub, "v2"); m.Payload != nil {
			t.Errorf("payload is %q", m.Payload)
		} else {
			ack(t, sub, m)
		}
		for range 6 {
			m, err := sub.Receive(t.Context())
			var e *useragent.DecryptError
			if m != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v", m, err)
			}
			ack(t, sub, e.Message)
		}
		synctest.Wait()
		closeSub(t, sub)
	})
}

// TestReconnect: unacknowledged messages that come again are not repeated,
// acknowledged ones are acknowledged again, and new ones arrive.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var channel string
		lose := make(chan bool)
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				channel = c.channel
				c.notify("a")
				c.notify("b")
				c.notify("c")
				c.acked("a", 100)
				<-lose
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.channel = channel
				c.acked("b", 100)
				c.notify("a") // the acknowledgement was lost
				c.acked("a", 100)
				c.notify("b") // and that of b has not arrived either
				c.acked("b", 100)
				c.notify("c")
				lose <- false
				c.notify("d")
				c.acked("c", 100)
				c.acked("d", 100)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		ack(t, sub, receive(t, sub, "a"))
		b := receive(t, sub, "b")
		lose <- true
		synctest.Wait()
		ack(t, sub, b) // waits for the connection
		<-lose
		synctest.Wait()
		ack(t, sub, receive(t, sub, "c"))
		ack(t, sub, receive(t, sub, "d"))
		synctest.Wait()
		closeSub(t, sub)
		told := a.told()
		if len(told) != 2 || told[0].Err == nil || told[0].Retry < 500*time.Millisecond || told[0].Retry > time.Second || told[1] != (useragent.Event{}) {
			t.Errorf("told %+v", told)
		}
	})
}

// TestRestart goes on from a state file.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var channel string
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				channel = c.channel
				c.notify("a")
				c.hold()
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.channel = channel
				c.notify("a")
				c.acked("a", 100)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		receive(t, sub, "a") // and not acknowledged
		b, err := json.Marshal(sub.State())
		if err != nil {
			t.Fatal(err)
		}
		closeSub(t, sub)

		var state useragent.State
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
		again, err := only(useragent.Open(t.Context(), state, a.options()))
		if err != nil {
			t.Fatal(err)
		}
		one, err := json.Marshal(sub)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := json.Marshal(again); err != nil || !bytes.Equal(one, two) || state.Server() != autopushURL || state.Subscriptions()[0].Endpoint() != endpoint {
			t.Errorf("was %s, is %s, %v", one, two, err)
		}
		ack(t, again, receive(t, again, "a"))
		synctest.Wait()
		closeSub(t, again)
	})
}

// TestForgotten: another uaid in the answer to hello makes the user agent
// register again and tell of the new endpoint, on reconnecting and on opening.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first string
		a := newAutopush(t,
			func(c *agentConn) { c.begin(); first = c.channel },
			func(c *agentConn) {
				c.hello(uaid, uaid2)
				c.register("", endpoint2)
				if c.channel == first {
					t.Errorf("channel %s is registered again", first)
				}
				c.notify("a")
				c.acked("a", 100)
				c.hold()
			},
			func(c *agentConn) {
				c.hello(uaid2, uaid)
				c.register("", endpoint)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		p256dh := sub.Identity().String()
		m, err := sub.Receive(t.Context())
		var e *useragent.ChangedError
		if m != nil || !errors.As(err, &e) || strings.Contains(err.Error(), "wpush") {
			t.Fatalf("got %v, %v", m, err)
		}
		if sub.Endpoint() != endpoint2 || sub.State().Subscriptions()[0].Endpoint() != endpoint2 || sub.Identity().String() != p256dh {
			t.Errorf("endpoint is %s", sub.Endpoint())
		}
		ack(t, sub, receive(t, sub, "a"))
		synctest.Wait()
		closeSub(t, sub)
		if sub, err = only(useragent.Open(t.Context(), sub.State(), a.options())); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Receive(t.Context()); m != nil || !errors.As(err, &e) || sub.Endpoint() != endpoint {
			t.Fatalf("got %v, %v", m, err)
		}
		closeSub(t, sub)
	})
}

// TestPings: {} every 5 minutes, never less than 45 seconds apart, and a
// connection without an answer is given up.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pings := 0
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				last := time.Now()
				for range 5 {
					c.expect("{}")
					if d := time.Since(last); d < 45*time.Second || d > 10*time.Minute {
						t.Errorf("ping after %v", d)
					}
					last = time.Now()
					pings++
					time.Sleep(15 * time.Second) // slow, but not too slow
					c.send("{}")
				}
				c.expect("{}")
				time.Sleep(time.Minute)
				c.send("{}")
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		ctx, cancel := context.WithTimeout(t.Context(), 32*time.Minute)
		defer cancel()
		if _, err := sub.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		told := a.told()
		if pings != 5 || len(told) != 2 || !strings.Contains(told[0].Err.Error(), "no response to a ping within 20s") {
			t.Errorf("%d pings, told %v", pings, told)
		}
		closeSub(t, sub)
	})
}

// TestCloseCodes: all lead to another connection but 4774.
func TestCloseCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := func(code websocket.StatusCode) func(*agentConn) {
			return func(c *agentConn) {
				c.hello(uaid, uaid)
				_ = c.conn.Close(code, "go away")
			}
		}
		a := newAutopush(t, func(c *agentConn) { c.begin(); _ = c.conn.Close(1000, "") },
			end(1002), end(1003), end(1011), end(1001), nil, end(4774))
		defer a.close()
		sub := a.subscribe()
		_, err := sub.Receive(t.Context())
		var e *useragent.CloseError
		if !errors.As(err, &e) || e.Code != 4774 || e.Reason != "go away" {
			t.Fatalf("error is %v", err)
		}
		var lost []string
		for _, e := range a.told() {
			if e.Err != nil {
				lost = append(lost, e.Err.Error())
			}
		}
		const by = "the push service at " + autopushURL + " closed the connection with code "
		want := []string{by + "1000", by + "1002: go away", by + "1003: go away", by + "1011: go away", by + "1001: go away",
			"connecting at " + autopushURL + ": status 404 Not Found"}
		if strings.Join(lost, "\n") != strings.Join(want, "\n") {
			t.Errorf("lost by\n%s\nwant\n%s", strings.Join(lost, "\n"), strings.Join(want, "\n"))
		}
		if err := sub.Ack(t.Context(), &useragent.ReceivedMessage{ID: "x"}); err == nil {
			t.Error("acknowledged on a connection that has ended")
		}
		closeSub(t, sub)
	})
}

// TestGarbage: strange frames are passed over, and too large ones end the
// connection, which is made again.
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var channel string
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				channel = c.channel
				for _, s := range []string{"", "null", "[]", "7", `"x"`, "{", `{"messageType":7}`, `{"messageType":"nonsense"}`, `{"messageType":"hello"}`,
					`{"messageType":"register"}`, `{"messageType":"unregister","channelID":"` + channel + `","status":200}`,
					`{"messageType":"notification"}`, `{"messageType":"notification","version":["a"]}`, strings.Repeat("[", 10000), "\xff\xfe"} {
					c.send("%s", s)
				}
				_ = c.conn.Write(context.Background(), websocket.MessageBinary, []byte(`{"messageType":"notification","channelID":"`+channel+`","version":"binary"}`))
				c.notify("good")
				c.acked("good", 100)
				c.send(`{"messageType":"notification","channelID":"%s","version":"big","data":"%s"}`, channel, strings.Repeat("A", 128<<10))
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.channel = channel
				c.notify("after")
				c.acked("after", 100)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		ack(t, sub, receive(t, sub, "good"))
		ack(t, sub, receive(t, sub, "after"))
		synctest.Wait()
		closeSub(t, sub)
		if told := a.told(); len(told) != 2 || !strings.HasSuffix(told[0].Err.Error(), "a frame has more than 131072 bytes") {
			t.Errorf("told %v", told)
		}
	})
}

// TestSocketRefuses: what keeps a subscription from being made.
func TestSocketRefuses(t *testing.T) {
	registers := func(answer string) func(*agentConn) {
		return func(c *agentConn) {
			c.hello("", uaid)
			id, _ := c.read()["channelID"].(string)
			c.send(answer, id)
			c.hold()
		}
	}
	says := func(answer string) func(*agentConn) {
		return func(c *agentConn) { c.read(); c.send("%s", answer); c.hold() }
	}
	for _, c := range []struct {
		script    func(*agentConn)
		want      string // after "at ws://…: "
		temporary bool
	}{
		{nil, "status 404 Not Found", false},
		{func(c *agentConn) { c.drain() }, "no response within 30s", true},
		{func(c *agentConn) { c.read(); c.hold() }, "no response within 30s", true},
		{func(c *agentConn) { c.hello("", uaid); c.read(); c.hold() }, "no response within 30s", true},
		{func(c *agentConn) { c.read(); _ = c.conn.Close(1011, "") }, "closed the connection with code 1011", true},
		{func(c *agentConn) { c.read(); _ = c.conn.Close(4774, "") }, "closed the connection with code 4774", false},
		{says("<html>"), "the response is not a push service's: a frame is not a JSON object", false},
		{says(`{"messageType":"hello","uaid":"","use_webpush":true}`), "the response has no valid uaid", false},
		{says(`{"messageType":"hello","uaid":"` + strings.Repeat("x", 129) + `","use_webpush":true}`), "the response has no valid uaid", false},
		{says(`{"messageType":"hello","uaid":"x","status":200}`), "the push service does not speak Web Push: use_webpush is not true", false},
		{says(`{"messageType":"hello","uaid":"x","use_webpush":0}`), "the push service does not speak Web Push: use_webpush is not true", false},
		{says(`{"messageType":"hello","status":503}`), "status 503 Service Unavailable", true},
		{registers(`{"messageType":"register","channelID":%q,"status":400,"pushEndpoint":"Failed to generate endpoint"}`), "status 400 Bad Request: Failed to generate endpoint", false},
		{registers(`{"messageType":"register","channelID":%q,"status":500,"pushEndpoint":""}`), "status 500 Internal Server Error", true},
		{registers(`{"messageType":"register","channelID":%q,"status":200}`), `the endpoint in the response has the scheme "", expected https`, false},
		{registers(`{"messageType":"register","channelID":%q,"status":200,"pushEndpoint":"http://example.net/x"}`), `the endpoint in the response is http at "example.net", expected https, or a loopback host`, false},
		{registers(`{"messageType":"register","channelID":"11111111-2222-4333-8444-555555555555%.0s","status":200,"pushEndpoint":"https://a/"}`), "no response within 30s", true},
	} {
		t.Run(c.want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAutopush(t, c.script)
				defer a.close()
				sub, err := useragent.Subscribe(t.Context(), autopushURL, a.options())
				var e *useragent.Error
				if sub != nil || !errors.As(err, &e) || !strings.HasSuffix(err.Error(), c.want) || e.Temporary() != c.temporary || e.Gone() {
					t.Errorf("error is %v, want %s", err, c.want)
				}
			})
		})
	}
}

// TestSocketContext: the context ends what waits, and nothing else.
func TestSocketContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAutopush(t, func(c *agentConn) { c.read(); c.hold() },
			func(c *agentConn) {
				c.begin()
				c.notify("a")
				c.acked("a", 100)
				c.hold()
			})
		defer a.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var e *useragent.Error
		if sub, err := useragent.Subscribe(ctx, autopushURL, a.options()); sub != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Temporary() {
			t.Errorf("got %v, %v", sub, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		sub, err := useragent.Subscribe(ctx, autopushURL, a.options())
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if m, err := sub.Receive(ctx); m != nil || err != context.Canceled {
			t.Errorf("got %v, %v", m, err)
		}
		ack(t, sub, receive(t, sub, "a"))
		synctest.Wait()
		closeSub(t, sub)
		if err := sub.Ack(t.Context(), &useragent.ReceivedMessage{ID: "a"}); !errors.Is(err, useragent.ErrClosed) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestQueue: more messages than anybody takes wait in the connection, in their
// order, and do not keep the subscription from being ended.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAutopush(t, func(c *agentConn) {
			c.begin()
			go func() {
				for i := range 1000 {
					c.notify(fmt.Sprint(i))
				}
			}()
			for {
				switch v := c.read(); {
				case v == nil:
					return
				case v["messageType"] == "unregister":
					if v["code"] != 200.0 || v["channelID"] != c.channel {
						t.Errorf("the user agent sent %v", v)
					}
					c.send(`{"messageType":"unregister","channelID":"%s","status":200}`, c.channel)
				default:
					t.Errorf("the user agent sent %v", v)
				}
			}
		})
		defer a.close()
		sub := a.subscribe()
		synctest.Wait()
		for i := range 300 {
			receive(t, sub, fmt.Sprint(i))
		}
		synctest.Wait()
		if err := sub.Unsubscribe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := sub.Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
		for {
			if _, err := sub.Receive(t.Context()); err != nil {
				var e *useragent.Error
				if !errors.As(err, &e) || !e.Gone() {
					t.Errorf("error is %v", err)
				}
				break
			}
		}
		if err := sub.Ack(t.Context(), &useragent.ReceivedMessage{ID: "299"}); err != nil {
			t.Error(err)
		}
		if told := a.told(); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		closeSub(t, sub)
	})
}

// TestUnsubscribeAgain: an answer that was lost with the connection is asked for
// again on the next, and a refusal is an error.
func TestUnsubscribeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var channel string
		a := newAutopush(t,
			func(c *agentConn) { c.begin(); channel = c.channel; c.read() },
			func(c *agentConn) {
				c.hello(uaid, uaid)
				for _, status := range []int{500, 200} {
					c.expect(fmt.Sprintf(`{"messageType":"unregister","channelID":%q,"code":200}`, channel))
					c.send(`{"messageType":"unregister","channelID":"%s","status":%d}`, channel, status)
				}
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		var e *useragent.Error
		if err := sub.Unsubscribe(t.Context()); !errors.As(err, &e) || e.Status != 500 {
			t.Errorf("error is %v", err)
		}
		if err := sub.Unsubscribe(t.Context()); err != nil {
			t.Errorf("error is %v", err)
		}
		closeSub(t, sub)
	})
}

// TestStatePrintsNoSecrets pins what shows in logs, and that the JSON is read
// back or refused.
func TestStatePrintsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAutopush(t, func(c *agentConn) { c.begin(); c.hold() })
		defer a.close()
		sub := a.subscribe()
		defer closeSub(t, sub)
		state := sub.State()
		const want = "subscription at " + autopushURL
		for _, v := range []any{state, &state, sub} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if got := fmt.Sprintf(verb, v); got != want {
					t.Errorf("%s of %T prints %q", verb, v, got)
				}
			}
			var b strings.Builder
			slog.New(slog.NewJSONHandler(&b, nil)).Info("made", "state", v)
			slog.New(slog.NewTextHandler(&b, nil)).Info("made", "state", v)
			if strings.Count(b.String(), want) != 2 || strings.Contains(b.String(), "secret") || strings.Contains(b.String(), uaid) {
				t.Errorf("slog writes %s", &b)
			}
		}
		b, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		id, err := json.Marshal(sub.Identity())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{`"server":"` + autopushURL + `"`, `"uaid":"` + uaid + `"`, `"endpoint":"` + endpoint + `"`, `"applicationServerKey":null`, string(id)} {
			if !strings.Contains(string(b), s) {
				t.Errorf("%s lacks %s", b, s)
			}
		}
		for _, c := range []struct{ old, new, want string }{
			{`{"server"`, `["server"`, "the state is damaged: invalid character"},
			{autopushURL, "ws://example.net", "the state's server is ws at"},
			{endpoint, "ftp://x/secret", `the state's endpoint has the scheme "ftp", expected https`},
			{uaid, "", "the state has no valid uaid"},
			{`"channelID":"`, `"channelID":"/`, "the state has no valid channelID"},
			{`"keys":`, `"kez":`, "the state has no keys"},
			{`"privateKey":"`, `"privateKey":"!`, "the state is damaged: "},
			{`"applicationServerKey":null`, `"applicationServerKey":"secret"`, "the state's applicationServerKey: "},
		} {
			bad := strings.Replace(string(b), c.old, c.new, 1)
			again := state
			err := json.Unmarshal([]byte(bad), &again)
			// An error of encoding/json's own syntax check has no prefix.
			if err == nil || !strings.HasPrefix(err.Error(), c.want) && !strings.HasPrefix("the state is damaged: "+err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s for %s: %v, want %s", c.new, c.old, err, c.want)
			}
			if !reflect.DeepEqual(again, state) {
				t.Error("the state has changed")
			}
		}
		var none useragent.State
		if _, err := useragent.Open(t.Context(), none, useragent.Options{}); err == nil || none.String() != "no subscription" {
			t.Errorf("%v: %v", none, err)
		}
	})
}

// FuzzFrames: whatever the push service sends, a message after it arrives.
func FuzzFrames(f *testing.F) {
	seeds := []string{"{}", "null", "[1]", `{"messageType":"notification","channelID":"CHANNEL","version":"1","data":"AAAA","headers":{"encoding":"aes128gcm"}}`,
		`{"messageType":"notification","channelID":"CHANNEL","version":"1","data":null,"headers":[]}`, `{"messageType":"unregister","channelID":"CHANNEL","status":200}`,
		`{"messageType":"hello","uaid":"x","use_webpush":true}`, `{"messageType":"register","status":200,"pushEndpoint":"https://example.net"}`,
		`{"messageType":"notification","channelID":"CHANNEL","version":"2","data":"AAAA","headers":{"encoding":"aesgcm","encryption":"salt=lngarbyKfMoi9Z75xYXmkg;rs=2","crypto_key":"dh=BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU"}}`}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 100_000 {
			t.Skip()
		}
		last := fmt.Sprintf("%x", random(t, 16))
		a := newAutopush(t, func(c *agentConn) {
			c.begin()
			c.send("%s", bytes.ReplaceAll(data, []byte("CHANNEL"), []byte(c.channel)))
			c.notify(last)
			c.drain()
		})
		defer a.close()
		sub := a.subscribe()
		for {
			m, err := sub.Receive(t.Context())
			if err != nil && !errors.As(err, new(*useragent.DecryptError)) {
				t.Fatal(err)
			}
			if m != nil && m.ID == last {
				break
			}
		}
		closeSub(t, sub)
	})
}
