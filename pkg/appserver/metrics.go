package appserver

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// metrics uses its own registry, because a program can have several servers and other
// metrics.
type metrics struct {
	registry *prometheus.Registry
	messages *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	removed  prometheus.Counter
	reports  *prometheus.CounterVec
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_messages_total", Help: "Messages, by push service and class."}, []string{"service", "class"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "webpush_message_duration_seconds", Help: "Response time of push services.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"service"}),
		removed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "webpush_subscriptions_removed_total", Help: "Subscriptions removed because their push service reported that they are gone."}),
		reports:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_reports_total", Help: "Reports of service workers about notifications, by event."}, []string{"event"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_http_requests_total", Help: "Requests to this server."}, []string{"route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "webpush_http_request_duration_seconds", Help: "Response time of this server.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}}, []string{"route"}),
	}
	m.registry.MustRegister(m.messages, m.latency, m.removed, m.reports, m.requests, m.took, &storeMetrics{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) message(r webpush.Result) {
	service := webpush.Other
	if r.Job.Subscription != nil {
		service = r.Job.Subscription.Service()
	}
	m.messages.WithLabelValues(string(service), string(r.Class)).Inc()
	if r.Attempts > 0 {
		m.latency.WithLabelValues(string(service)).Observe(r.Latency.Seconds())
	}
}

// tested counts a test message.
func (m *metrics) tested(service webpush.Service, receipt *webpush.Receipt, err error) {
	class := webpush.Classify(err)
	if receipt != nil {
		m.latency.WithLabelValues(string(service)).Observe(receipt.Latency.Seconds())
	}
	m.messages.WithLabelValues(string(service), string(class)).Inc()
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	switch method {
	case "GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS":
	default:
		method = "other" // clients could invent any number of methods
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if route != "/push/{id}/events" {
		m.took.WithLabelValues(route).Observe(took.Seconds())
	}
}

// storeMetrics collects metrics from the store at each request.
type storeMetrics struct{ s *Server }

var (
	descSubscriptions = prometheus.NewDesc("webpush_subscriptions", "Subscriptions, by push service.", []string{"service"}, nil)
	descKeys          = prometheus.NewDesc("webpush_subscriptions_by_key", "Subscriptions, by the fingerprint of the application server key with which they were created, and by its use: current, old, missing, unknown.", []string{"key", "use"}, nil)
	descJobs          = prometheus.NewDesc("webpush_jobs", "Unfinished pushes, by state.", []string{"state"}, nil)
	descSize          = prometheus.NewDesc("webpush_database_bytes", "Size of the database.", nil, nil)
	descQueue         = prometheus.NewDesc("webpush_queue_messages", "Messages of unfinished pushes that have not been sent yet.", nil, nil)
)

// maxQueue is the maximum number of jobs that are counted.
const maxQueue = 1000

func (c *storeMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descSubscriptions
	ch <- descKeys
	ch <- descJobs
	ch <- descQueue
	ch <- descSize
}

func (c *storeMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	counts, err := c.s.store.Count(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descSubscriptions, err)
	}
	for service, n := range counts {
		ch <- prometheus.MustNewConstMetric(descSubscriptions, prometheus.GaugeValue, float64(n), string(service))
	}
	byKey, err := c.s.keys.count(ctx, c.s.store)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descKeys, err)
	} else {
		for _, k := range c.s.keys.list(byKey) {
			ch <- prometheus.MustNewConstMetric(descKeys, prometheus.GaugeValue, float64(k.Subscriptions), k.Fingerprint, k.Use)
		}
	}
	if size, err := c.s.store.Size(ctx); err != nil {
		ch <- prometheus.NewInvalidMetric(descSize, err)
	} else {
		ch <- prometheus.MustNewConstMetric(descSize, prometheus.GaugeValue, float64(size))
	}
	jobs, err := c.s.store.Unfinished(ctx, maxQueue)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descJobs, err)
		return
	}
	scheduled, err := c.s.store.Scheduled(ctx, maxQueue)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descJobs, err)
		return
	}
	// A scheduled job that is due waits like queued ones.
	states := map[State]int{Scheduled: len(scheduled), Queued: 0, Running: 0}
	var left int64
	for _, j := range jobs {
		if j.State == Scheduled {
			j.State = Queued
		}
		states[j.State]++
		left += max(0, j.Total-showJob(j).Done)
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(descJobs, prometheus.GaugeValue, float64(n), string(state))
	}
	ch <- prometheus.MustNewConstMetric(descQueue, prometheus.GaugeValue, float64(left))
}
