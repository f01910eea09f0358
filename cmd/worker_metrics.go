package cmd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed81da77dd/webpush/pkg/queue"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// workerMetrics count what a worker does.
type workerMetrics struct {
	q        *queue.Queue
	registry *prometheus.Registry
	messages *prometheus.CounterVec
	retries  *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	holds    *prometheus.CounterVec

	mu     sync.Mutex
	counts map[webpush.Class]int64
	later  int64 // temporary failures that are tried again
	held   map[webpush.Service]time.Time
}

func newWorkerMetrics(q *queue.Queue) *workerMetrics {
	m := &workerMetrics{q: q, registry: prometheus.NewRegistry(), counts: make(map[webpush.Class]int64), held: make(map[webpush.Service]time.Time),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_messages_total", Help: "Results by push service and class."}, []string{"service", "class"}),
		retries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_postponed_total", Help: "Temporary failures that will be tried again, by push service."}, []string{"service"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "webpush_message_duration_seconds", Help: "Response times of push services.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"service"}),
		holds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_holds_total", Help: "Responses that asked to wait, by push service."}, []string{"service"}),
	}
	m.registry.MustRegister(m.messages, m.retries, m.latency, m.holds, m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// result counts a result of the worker.
func (m *workerMetrics) result(r *webpush.Result, final bool) {
	service := webpush.Other
	if r.Job.Subscription != nil {
		service = r.Job.Subscription.Service()
	}
	if r.Attempts > 0 {
		m.latency.WithLabelValues(string(service)).Observe(r.Latency.Seconds())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !final {
		m.later++
		m.retries.WithLabelValues(string(service)).Inc()
		return
	}
	m.counts[r.Class]++
	m.messages.WithLabelValues(string(service), string(r.Class)).Inc()
}

// hold notes a push service that asks to wait.
func (m *workerMetrics) hold(service webpush.Service, _ string, until time.Time) {
	m.holds.WithLabelValues(string(service)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if until.After(m.held[service]) {
		m.held[service] = until
	}
}

// totals are the numbers of results, for the log.
func (m *workerMetrics) totals() []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []any
	for _, c := range webpush.Classes() {
		if n := m.counts[c]; n > 0 {
			list = append(list, string(c), n)
		}
	}
	if m.later > 0 {
		list = append(list, "postponed", m.later)
	}
	return list
}

// logEvery logs the numbers when they have changed, until the function that it
// returns is called.
func (m *workerMetrics) logEvery(log *slog.Logger, every time.Duration) (end func()) {
	quit, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(every)
		defer tick.Stop()
		var before int64
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			m.mu.Lock()
			n := m.later
			for _, count := range m.counts {
				n += count
			}
			m.mu.Unlock()
			if n != before {
				before = n
				log.Info("results", m.totals()...)
			}
		}
	}()
	return func() { close(quit); <-over }
}

var (
	queueMessages = prometheus.NewDesc("webpush_queue_messages", "Messages in the stream by lane: waiting, or taken by workers or to be tried again.", []string{"lane", "state"}, nil)
	queueAge      = prometheus.NewDesc("webpush_queue_age_seconds", "Age of the oldest message of a lane.", []string{"lane"}, nil)
	heldSeconds   = prometheus.NewDesc("webpush_held_seconds", "How long a push service still asks to wait.", []string{"service"}, nil)
)

// Describe implements prometheus.Collector.
func (m *workerMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- queueMessages
	c <- queueAge
	c <- heldSeconds
}

// Collect implements prometheus.Collector.
func (m *workerMetrics) Collect(c chan<- prometheus.Metric) {
	m.mu.Lock()
	for service, until := range m.held {
		c <- prometheus.MustNewConstMetric(heldSeconds, prometheus.GaugeValue, max(0, time.Until(until).Seconds()), string(service))
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	lanes, err := m.q.Status(ctx)
	if err != nil {
		c <- prometheus.NewInvalidMetric(queueMessages, err)
		return
	}
	for _, l := range lanes {
		c <- prometheus.MustNewConstMetric(queueMessages, prometheus.GaugeValue, float64(l.Waiting), l.Lane, "waiting")
		c <- prometheus.MustNewConstMetric(queueMessages, prometheus.GaugeValue, float64(l.Taken), l.Lane, "taken")
		c <- prometheus.MustNewConstMetric(queueAge, prometheus.GaugeValue, l.Age.Seconds(), l.Lane)
	}
}

// handler serves /healthz and /metrics.
func (m *workerMetrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		status, code := "ok", http.StatusOK
		if !m.q.Connected() {
			status, code = "the NATS server cannot be reached", http.StatusServiceUnavailable
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": status})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}
