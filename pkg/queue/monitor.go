package queue

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Monitor counts the results of a worker for its operator: as metrics, in a log, and
// as a health check. It is safe for concurrent use. A program with a registry of its
// own can register it as a [prometheus.Collector].
type Monitor struct {
	q        *Queue
	messages *prometheus.CounterVec
	retries  *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	holds    *prometheus.CounterVec

	mu        sync.Mutex
	counts    bulk.Counts
	postponed int64
	held      map[webpush.Service]time.Time
}

// NewMonitor returns a monitor of a worker of the queue. Set OnResult and OnHold of
// its [WorkerOptions] to the methods of the monitor.
func NewMonitor(q *Queue) *Monitor {
	return &Monitor{q: q, counts: make(bulk.Counts), held: make(map[webpush.Service]time.Time),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_messages_total", Help: "Results by push service and class."}, []string{"service", "class"}),
		retries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_postponed_total", Help: "Temporary failures that will be retried, by push service."}, []string{"service"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "webpush_message_duration_seconds", Help: "Response times of push services.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"service"}),
		holds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "webpush_holds_total", Help: "Responses that asked to wait, by push service."}, []string{"service"}),
	}
}

// OnResult counts a result; see [WorkerOptions].
func (m *Monitor) OnResult(r *webpush.Result, final bool) {
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
		m.postponed++
		m.retries.WithLabelValues(string(service)).Inc()
		return
	}
	m.counts[r.Class]++
	m.messages.WithLabelValues(string(service), string(r.Class)).Inc()
}

// OnHold counts a response that asked to wait; see [WorkerOptions].
func (m *Monitor) OnHold(service webpush.Service, _ string, until time.Time) {
	m.holds.WithLabelValues(string(service)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	if until.After(m.held[service]) {
		m.held[service] = until
	}
}

// LogValue returns the nonzero numbers of results per class, and the number of
// temporary failures that will be retried as postponed.
func (m *Monitor) LogValue() slog.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []slog.Attr
	for _, c := range webpush.Classes() {
		if n := m.counts[c]; n > 0 {
			list = append(list, slog.Int64(string(c), n))
		}
	}
	if m.postponed > 0 {
		list = append(list, slog.Int64("postponed", m.postponed))
	}
	return slog.GroupValue(list...)
}

// Log logs the numbers at each interval if they have changed, until ctx is done.
func (m *Monitor) Log(ctx context.Context, log *slog.Logger, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		n := m.counts.Total() + m.postponed
		m.mu.Unlock()
		if n != before {
			before = n
			log.Info("results", slog.Any("", m))
		}
	}
}

// Handler returns a handler of GET /healthz, with status 503 while the connection to
// the NATS server is lost, and of GET /metrics, for Prometheus: results by push
// service and class, the number and age of the messages of each lane, and push
// services that asked to wait. The metrics of others are added.
func (m *Monitor) Handler(others ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(append([]prometheus.Collector{m}, others...)...)
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
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}

var (
	queueMessages = prometheus.NewDesc("webpush_queue_messages", "Messages in the stream by lane: waiting, or taken (workers have them, or they will be retried).", []string{"lane", "state"}, nil)
	queueAge      = prometheus.NewDesc("webpush_queue_age_seconds", "Age of the oldest message of a lane.", []string{"lane"}, nil)
	heldSeconds   = prometheus.NewDesc("webpush_held_seconds", "Remaining time for which a push service asked to wait.", []string{"service"}, nil)
)

// counters returns the metrics that the worker counts. The others are read from the
// server when they are collected.
func (m *Monitor) counters() []prometheus.Collector {
	return []prometheus.Collector{m.messages, m.retries, m.latency, m.holds}
}

// Describe implements [prometheus.Collector].
func (m *Monitor) Describe(c chan<- *prometheus.Desc) {
	for _, counter := range m.counters() {
		counter.Describe(c)
	}
	c <- queueMessages
	c <- queueAge
	c <- heldSeconds
}

// Collect implements [prometheus.Collector].
func (m *Monitor) Collect(c chan<- prometheus.Metric) {
	for _, counter := range m.counters() {
		counter.Collect(c)
	}
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
