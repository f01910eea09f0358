package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/queue"
)

type workerOptions struct {
	send      sendOptions // key, message, connection
	nats      natsOptions
	lanes     []string
	retryFor  durationFlag
	metrics   string
	logFormat enumFlag
}

func newWorkerCmd(s *streams) *cobra.Command {
	o := workerOptions{logFormat: newEnum("text", "text", "json")}
	c := &cobra.Command{
		Use:   "worker",
		Short: "Send the records that send --to or other programs put into NATS",
		Long: `Send the records in the JetStream streams of a NATS server or cluster, until
interrupted. Run any number of equal workers on any machines: they share the records.
The first worker creates the streams and consumers. The key, the claims, and the flags
for connections are the same as for send.

CRASHES. A worker stores the result of a record before it acknowledges the message.
When a worker is killed, the others get its messages within 15 seconds; only those in
flight can arrive twice, and each record has one result. Ctrl-C finishes the requests
in flight and returns the rest; press it again to stop now. If the NATS server
restarts or cannot be reached, workers wait and continue.

LANES. Each push service has a lane (fcm, mozilla, apple, wns, other), so a slow push
service does not delay the others. Temporary failures are retried with increasing
pauses for --retry-for, or for as long as the push service asks, and do not delay
other records. A TTL counts from the time of publishing: when it is used up, the
record becomes expired and is not sent. TTL 0 means "now or never" at the push service
and is sent as 0. A record that cannot be read or sent becomes invalid.

RATES. --rate-per-origin applies to all workers together, up to about 20: they share
the rate on the NATS server. If a push service with a rate asks one worker to wait,
all workers wait. If workers have different rates, the lowest applies, with a warning.
--rate is for one worker.

SECURITY. Like send, a worker sends to private addresses; use --deny-private if the
endpoints are untrusted. The streams contain endpoints and payloads, which are secrets:
use TLS and credentials, and limit who can read webpush.>.

MESSAGE FORMAT. Any program can publish records. A message is one record, in the form
that send -f accepts:

    subject          webpush.send. and the lane of the push service
    Nats-Msg-Id      optional: the stream drops a repeated ID within 1 hour
    Webpush-Run      optional: the run, 1 to 64 of A-Z a-z 0-9 - _
    Webpush-Expires  optional: the time after which the message is not sent
                     (RFC 3339); by default, the record's ttl after publishing
    Webpush-Source   optional: {"index": 7, "file": "x", "line": 8} for the result
    body             {"id": …, "subscription": {…}, "payload": …, "ttl": 3600,
                      "urgency": "normal", "topic": "…"}

The lane follows from the host of the endpoint: fcm for fcm.googleapis.com, mozilla for
hosts under push.services.mozilla.com, apple for push.apple.com, wns for
notify.windows.com, and other for the rest. In Node.js, with the package nats:

    import { connect, headers } from 'nats'
    const nc = await connect({ servers: process.env.WEBPUSH_NATS })
    const h = headers()
    h.set('Webpush-Run', 'welcome')
    h.set('Nats-Msg-Id', 'welcome-' + user.id)
    await nc.jetstream().publish('webpush.send.' + lane, JSON.stringify({
      id: user.id, subscription: user.subscription, payload: 'Welcome', ttl: 3600,
    }), { headers: h })

In Python, with the package nats-py:

    nc = await nats.connect(os.environ["WEBPUSH_NATS"])
    await nc.jetstream().publish("webpush.send." + lane, json.dumps({
        "id": user.id, "subscription": user.subscription, "payload": "Welcome",
        "ttl": 3600,
    }).encode(), headers={"Webpush-Run": "welcome",
                          "Nats-Msg-Id": f"welcome-{user.id}"})

--metrics serves /healthz and /metrics, for Prometheus: results by push service and
class, the number and age of the messages of each lane, and push services that asked to
wait.`,
		Example: `  webpush worker --nats nats://localhost:4222 -k private_key.pem --subject mailto:ops@example.com
  # A cluster, with credentials.
  webpush worker --nats tls://nats1:4222,tls://nats2:4222 --nats-creds worker.creds --deny-private
  # Only some push services, with metrics for Prometheus.
  webpush worker --nats nats://localhost:4222 --lane fcm,mozilla --metrics 127.0.0.1:9090`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runWorker(c.Context(), s, o) },
	}
	f := c.Flags()
	o.nats.addAddressFlag(f)
	f.StringSliceVar(&o.lanes, "lane", nil, "send only the lanes `NAMES`: fcm, mozilla, apple, wns, other, separated by commas")
	o.retryFor.value = queue.DefaultRetryFor
	f.Var(&o.retryFor, "retry-for", "try temporary failures again until the record is this old")
	f.StringVar(&o.metrics, "metrics", "", "serve /healthz and /metrics on `ADDRESS`, host:port")
	f.Var(&o.logFormat, "log-format", "text or json")
	completeEnum(c, "log-format", &o.logFormat)
	complete(c, "lane", queue.Lanes)
	asSetting(f, "log-format")
	inGroup(f, "Flags")
	o.send.cmd, o.send.payload.cmd = c, c
	o.send.addKeyFlags(c)
	o.send.payload.addEncodingFlags(c)
	o.send.addMessageFlags(c)
	inGroup(f, "Message")
	o.send.bulk.addSendingFlags(c, "256")
	inGroup(f, "Sending")
	o.send.connection.addFlags(c)
	o.nats.addFlags(f)
	return c
}

func runWorker(ctx context.Context, s *streams, o workerOptions) error {
	if err := o.nats.check(); err != nil {
		return err
	}
	for _, lane := range o.lanes {
		if !slices.Contains(queue.Lanes(), lane) {
			return usage("", "--lane: invalid value %q, expected one of %s", lane, strings.Join(queue.Lanes(), ", "))
		}
	}
	if o.retryFor.value <= 0 {
		return usage("", "--retry-for is %s, expected more than 0", o.retryFor.String())
	}
	if err := o.send.bulk.checkSending(o.send.cmd); err != nil {
		return err
	}
	d, err := o.send.prepareWorker(s)
	if err != nil {
		return err
	}
	log := s.serviceLog(&o.logFormat)
	q, err := o.nats.connect(ctx, s, func(message string) { log.Warn(message) })
	if err != nil {
		return err
	}
	defer q.Close()
	m := queue.NewMonitor(q)
	if o.metrics != "" {
		listener, err := net.Listen("tcp", o.metrics)
		if err != nil {
			return usage("use the form 127.0.0.1:9090", "--metrics: %w", err)
		}
		server := &http.Server{Handler: m.Handler(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
		log.Info("metrics", "address", "http://"+listener.Addr().String()+"/metrics")
	}
	d.client.OnRetry = nil
	work := queue.WorkerOptions{Client: d.client, Message: d.message, Lanes: o.lanes, RetryFor: o.retryFor.value, Log: log, OnResult: m.OnResult, OnHold: m.OnHold,
		Send: o.send.bulk.sending()}
	lanes := "all"
	if len(o.lanes) > 0 {
		lanes = strings.Join(o.lanes, ",")
	}
	log.Info("worker started", "nats", q.Server(), "lanes", lanes)
	logging, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	go m.Log(logging, log, 10*time.Second)
	defer context.AfterFunc(ctx, func() { log.Info("finishing the requests in flight; interrupt again to stop now") })()
	err = q.Work(ctx, work)
	stopLog()
	if err != nil {
		return natsError(err)
	}
	log.Info("worker stopped", slog.Any("", m))
	return nil
}

// prepareWorker returns the client and the message of a worker.
func (o *sendOptions) prepareWorker(s *streams) (*delivery, error) {
	o.many = true
	d, err := o.prepare(s, true)
	if err != nil {
		return nil, err
	}
	if err := d.firstFlaw(); err != nil {
		return nil, err
	}
	if d.client.Key == nil {
		return nil, withHint(fmt.Errorf("a worker requires a private key to sign with: %s not found", defaultPrivateKey), "pass one with -k, or generate a key pair with webpush gen")
	}
	return d, o.checkMany(s, d)
}
