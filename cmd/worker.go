package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/queue"
)

type workerOptions struct {
	cmd *cobra.Command
	signing
	messageFlags
	connection
	nats      natsOptions
	work      queue.WorkerOptions
	metrics   string
	logFormat string
}

func newWorkerCmd(s *streams) *cobra.Command {
	o := workerOptions{logFormat: "text"}
	c := &cobra.Command{
		Use:  "worker",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runWorker(c.Context(), s, o) },
	}
	f := c.Flags()
	o.nats.addAddressFlag(f)
	wordsFlag(c, &o.work.Lanes, "lane", "send only the lanes `NAMES`: "+strings.Join(queue.Lanes(), ", ")+", separated by commas", queue.Lanes())
	o.work.RetryFor = queue.DefaultRetryFor
	f.Var(positive(&o.work.RetryFor), "retry-for", "try temporary failures again until the record is this old")
	f.StringVar(&o.metrics, "metrics", "", "serve /healthz and /metrics on `ADDRESS`, host:port")
	wordFlag(c, &o.logFormat, "log-format", "", "text or json", "text", "json")
	asSetting(f, "log-format")
	inGroup(f, "Flags")
	o.cmd, o.payload.cmd = c, c
	o.signing.addFlags(c)
	o.payload.addEncodingFlags(c)
	o.messageFlags.addCommonFlags(c)
	addSendingFlags(c, &o.work.Send, "256")
	inGroup(f, "Sending")
	o.connection.addFlags(c)
	o.nats.addFlags(f)
	return c
}

func runWorker(ctx context.Context, s *streams, o workerOptions) error {
	if err := o.nats.check(s); err != nil {
		return err
	}
	work := o.work
	d, err := o.prepare(s)
	if err != nil {
		return err
	}
	work.Client, work.Message = d.client, d.message
	log := s.serviceLog(o.logFormat == "json")
	var listener net.Listener
	if o.metrics != "" {
		if listener, err = net.Listen("tcp", o.metrics); err != nil {
			return usage("use the form 127.0.0.1:9090", "--metrics: %w", err)
		}
		defer listener.Close()
	}
	q, err := o.nats.connect(ctx, s, func(message string) { log.Warn(message) })
	if err != nil {
		return err
	}
	defer q.Close()
	m := queue.NewMonitor(q)
	work.Log, work.OnResult, work.OnHold = log, m.OnResult, m.OnHold
	if listener != nil {
		server := &http.Server{Handler: m.Handler(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(listener) }()
		defer server.Close()
		log.Info("metrics", "address", "http://"+listener.Addr().String()+"/metrics")
	}
	lanes := "all"
	if len(work.Lanes) > 0 {
		lanes = strings.Join(work.Lanes, ",")
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

// prepare returns the client and the message of a worker.
func (o *workerOptions) prepare(s *streams) (d *delivery, err error) {
	d = new(delivery)
	if d.message, err = o.faultless(s); err != nil {
		return nil, err
	}
	if d.client, err = o.connection.client(o.cmd, s); err != nil {
		return nil, err
	}
	d.client.OnRetry = nil
	if err := o.sign(s, d, anyOrigin); err != nil {
		return nil, err
	}
	if err := d.firstFlaw(); err != nil {
		return nil, err
	}
	if d.client.Key == nil {
		return nil, withHint(fmt.Errorf("a worker requires a private key to sign with: %s not found", defaultPrivateKey), "pass one with -k, or generate a key pair with webpush gen")
	}
	return d, d.reportMany(s, 0)
}
