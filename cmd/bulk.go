package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// bulkFlags are the options of send for many subscriptions.
type bulkFlags struct {
	concurrency, perOrigin int
	rate, ratePerOrigin    rateFlag
	maxFailures            int
	deadline               durationFlag
	results                string
	showEndpoints          bool
	gone, retryLater       string
	force                  bool
	resume                 string
	quiet                  bool
	http                   enumFlag
}

// bulkOnly are the flags that mean many subscriptions, however many there are.
var bulkOnly = []string{"concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "max-failures", "deadline", "results", "show-endpoints", "gone", "retry-later", "resume"}

// singleOnly are the flags of one subscription, and what does instead.
var singleOnly = [][2]string{
	{"curl", "give one subscription"},
	{"check", "webpush check -f FILE with one of them; --dry-run tries all without sending"},
	{"gcm-reg-id", "leave it out: it is the end of each endpoint"},
}

func (o *bulkFlags) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.results, "results", "", "write the result of each record to `FILE`, as NDJSON; - for standard output, as --json does")
	f.BoolVar(&o.showEndpoints, "show-endpoints", false, "write the endpoints, which are secrets, into the results")
	f.StringVar(&o.gone, "gone", "", "write the records whose subscription has ended, and can be deleted, to `FILE`")
	f.StringVar(&o.retryLater, "retry-later", "", "write the records worth another run to `FILE`, as -f takes it")
	f.BoolVar(&o.force, "force", false, "replace these files")
	f.StringVar(&o.resume, "resume", "", "keep the `JOURNAL` of what is finished, and go on with what is not")
	f.IntVar(&o.concurrency, "concurrency", 0, "send `N` messages at a time (default for each processor: 128, or 256 with --resume)")
	f.IntVar(&o.perOrigin, "concurrency-per-origin", 0, "send `N` messages at a time to one push service (default: nearly all)")
	f.Var(&o.rate, "rate", "send no more than this: 100/s, 5000/m or 100000/h")
	f.Var(&o.ratePerOrigin, "rate-per-origin", "send no more than this to one push service")
	f.IntVar(&o.maxFailures, "max-failures", 0, "stop after `N` records that are not delivered, those that are gone not counted (default: never)")
	f.Var(&o.deadline, "deadline", "stop after this time, whatever is left")
	o.http = newEnum("auto", "auto", "standard")
	f.Var(&o.http, "http", "auto, or standard for Go's own HTTP client alone")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress and no summary")
	inGroup(f, "Many subscriptions")
	asSetting(f, "concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "max-failures", "http")
	completeEnum(c, "http", &o.http)
}

// check refuses values that make no sense.
func (o *bulkFlags) check(c *cobra.Command) error {
	for _, n := range []struct {
		name  string
		value int
	}{{"concurrency", o.concurrency}, {"concurrency-per-origin", o.perOrigin}} {
		if n.value < 0 || n.value > 1e6 || n.value == 0 && c.Flags().Changed(n.name) {
			return usage("leave it out to have it chosen", "--%s is %d, expected 1 to 1000000", n.name, n.value)
		}
	}
	if o.maxFailures < 0 || o.maxFailures == 0 && c.Flags().Changed("max-failures") {
		return usage("leave it out to go on whatever happens", "--max-failures is %d, expected 1 or more", o.maxFailures)
	}
	if c.Flags().Changed("deadline") && o.deadline.value <= 0 {
		return usage("", "--deadline is %s, expected more than 0", o.deadline.String())
	}
	if o.force && o.results == "" && o.gone == "" && o.retryLater == "" {
		return usage("add the file to replace", "--force goes with --results, --gone or --retry-later")
	}
	return nil
}

// rateFlag is an option that takes a number of messages for a time.
type rateFlag struct {
	text      string
	perSecond float64
}

func (r *rateFlag) String() string { return r.text }
func (r *rateFlag) Type() string   { return "RATE" }
func (r *rateFlag) Set(v string) error {
	number, unit, _ := strings.Cut(v, "/")
	seconds := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || seconds == 0 || strings.HasSuffix(v, "/") || !(n > 0 && n <= 1e9) {
		return fmt.Errorf("%q is no rate: write a number of messages a second, or 100/s, 5000/m, 100000/h", v)
	}
	r.text, r.perSecond = v, n/seconds
	return nil
}

// bulk is a run over many subscriptions.
type bulk struct {
	s       *streams
	o       *sendOptions
	client  *webpush.Client
	message webpush.Message
	source  *recordSource
	journal *webpush.Journal
	outputs outputs
	tally   *tally

	keys map[string]*vapid.Key // of records, by their text

	concurrency int // messages in flight at most; 0 leaves it to SendAll
	commits     commitTimes
	lost        int64 // delivered messages that may not be written down everywhere
	// unjournalled tells that the journal could not be written in the end.
	unjournalled bool

	reading sync.Mutex  // held while the source is read
	ended   atomic.Bool // the source has no more
	cut     bool        // an input that blocked was left before its end

	mu     sync.Mutex
	waits  held            // the one that ends last
	fields map[string]bool // unknown members that were seen; true when told
	flat   map[string]bool // members of wrapped records that stand in a subscription
}

// held is a push service that asked to wait.
type held struct {
	origin string
	until  time.Time
}

// noteWait keeps what the progress tells while nothing goes on.
func (b *bulk) noteWait(e *webpush.Error, wait time.Duration) {
	if e.RetryAfter == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(wait); until.After(b.waits.until) {
		b.waits = held{e.Origin, until}
	}
}

// runBulk sends to all records of the source.
func runBulk(ctx context.Context, s *streams, o *sendOptions, d *delivery) (err error) {
	b := &bulk{s: s, o: o, client: d.client, message: d.message, source: d.source, keys: make(map[string]*vapid.Key), fields: make(map[string]bool), flat: make(map[string]bool)}
	for _, only := range singleOnly {
		if o.cmd.Flags().Changed(only[0]) {
			return usage(only[1], "--%s goes with one subscription, and here are many", only[0])
		}
	}
	for _, name := range []string{"resume", "gone", "retry-later"} {
		if o.dryRun && o.cmd.Flags().Changed(name) {
			return usage("leave it out: a dry run finishes no record", "--dry-run and --%s do not go together", name)
		}
	}
	if o.showSecrets && o.verbose < 2 {
		return usage("--show-endpoints writes the endpoints into the results", "--show-secrets goes with -vv here, where a dry run prints no request")
	}
	if err := b.checkMessage(); err != nil {
		return err
	}
	resumed := o.bulk.resume != "" && exists(o.bulk.resume)
	begun := false
	inputs := inputFiles(s, o.inputs)
	if s.json || o.bulk.results == "-" {
		b.source.stdout = streamFile("standard output", s.out)
	}
	if err := b.outputs.check(&o.bulk, b.source.stdout, inputs, resumed); err != nil {
		return err
	}
	if o.bulk.resume != "" {
		if b.journal, err = openJournal(o.bulk.resume, inputs, b.digest()); err != nil {
			return err
		}
		defer func() {
			b.journal.Close()
			if old, _ := b.journal.Resumed(); !old && !begun { // or the next run would take itself for a later one
				_ = os.Remove(o.bulk.resume)
			}
		}()
	}
	if err := b.outputs.open(s, &o.bulk, resumed); err != nil {
		return err
	}
	b.tally = newTally(o.dryRun)
	defer collectLess()()
	tell := b.client.OnRetry
	b.client.OnRetry = func(e *webpush.Error, wait time.Duration) {
		b.noteWait(e, wait)
		if o.verbose > 0 {
			tell(e, wait)
		}
	}
	if o.verbose > 1 {
		b.client.HTTP = &tracer{next: b.client.HTTP, s: s, showSecrets: o.showSecrets}
	}

	// The first interrupt stops taking records and lets those in flight end.
	run := context.WithoutCancel(ctx)
	if o.bulk.deadline.value > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(run, o.bulk.deadline.value)
		defer cancel()
	}
	// An input that may block, as a pipe, ends with the run.
	reading, endReading := context.WithCancel(run)
	defer endReading()
	b.source.ctx = reading
	progress := b.startProgress()
	defer context.AfterFunc(ctx, func() {
		endReading()
		if progress.bar != nil {
			fmt.Fprintln(s.err) // below the bar
		}
		if !o.bulk.quiet {
			s.note("interrupted: what is in flight is finished; interrupt again to stop at once")
		}
	})()
	b.concurrency = o.bulk.concurrency
	if b.concurrency == 0 && b.journal != nil { // for which a part of them waits
		b.concurrency = 256 * runtime.GOMAXPROCS(0)
	}
	begun = true
	s.atOnce.Store(b.lostAtOnce())
	defer s.atOnce.Store(nil)
	var failed error
	var yielded int64
	for r := range b.client.SendAll(run, b.jobs(), webpush.BulkOptions{
		Concurrency: b.concurrency, ConcurrencyPerOrigin: o.bulk.perOrigin, Rate: o.bulk.rate.perSecond, RatePerOrigin: o.bulk.ratePerOrigin.perSecond,
		MaxFailures: o.bulk.maxFailures, DryRun: o.dryRun, StandardHTTP: o.bulk.http.String() == "standard", Stop: ctx.Done(),
		Commit: func(results []webpush.Result) error {
			failed = cmp.Or(failed, b.commit(results))
			if failed != nil || o.bulk.maxFailures > 0 && b.tally.failures() >= int64(o.bulk.maxFailures) {
				endReading()
			}
			return failed
		},
	}) {
		if yielded++; yielded > b.tally.total() { // what was in flight when commit failed
			b.keep([]webpush.Result{r}, true)
		}
		if yielded == b.tally.total() { // all that was committed
			b.commits.wait()
		}
	}
	if failed == nil {
		failed = b.rest()
	} else if b.journal != nil {
		b.unjournalled = b.journal.Commit() != nil // with what keep has noted
	}
	b.tellFields()
	progress.stop()
	if err := b.outputs.close(); failed == nil {
		failed = err
	}
	if failed != nil {
		if !o.bulk.quiet {
			b.summary("", b.complete())
		}
		return b.unwritten(failed)
	}
	return b.finish(ctx, run)
}

// spareMemory is how much garbage may gather before it is collected, in bytes;
// four times as much as there is live memory at most.
const spareMemory = 16 << 20

// collectLess lets garbage gather up to spareMemory, until the function that it
// returns is called. By its own rule Go collects when there is as much garbage
// as live memory, and of that a sender has so little that it would come to some
// 20 times a second. Whoever sets GOGC or GOMEMLIMIT decides.
func collectLess() (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(100)
	percent := 100
	adapt := func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		bytes := max(live[0].Value.Uint64(), spareMemory/4)
		wanted := int(100 * max(bytes, spareMemory) / bytes)
		if wanted < percent*9/10 || wanted > percent*11/10 {
			debug.SetGCPercent(wanted)
			percent = wanted
		}
	}
	adapt()
	done := make(chan struct{})
	go func() {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticks.C:
				adapt()
			}
		}
	}()
	return func() {
		close(done)
		debug.SetGCPercent(before)
	}
}

// checkMessage warns of what push services would refuse of every message, and
// refuses what cannot be sent to anybody.
func (b *bulk) checkMessage() error {
	claims := b.client.Claims
	b.o.claims.complete(&claims, anyOrigin)
	found := b.o.findings(&webpush.Client{Key: b.client.Key, Claims: claims, SignUnchecked: b.client.SignUnchecked}, nil, b.message)
	for _, f := range found {
		if f.Err != nil {
			return f.Err
		}
	}
	return b.o.tellFindings(b.s, found)
}

// openJournal opens the journal, which must not be one of the inputs.
func openJournal(name string, inputs []usedFile, run string) (*webpush.Journal, error) {
	file := newUsedFile(name)
	if i := slices.IndexFunc(inputs, file.same); i >= 0 {
		return nil, usage("give the journal a name of its own", "--resume %s is the input %s", name, inputs[i].name)
	}
	if err := file.apart("resume", inputs); err != nil {
		return nil, err
	}
	j, err := webpush.OpenJournal(name, run)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
		err = newFileProblem(name, err)
	}
	return j, within("--resume", err)
}

// digest says what is sent, for the journal: a record is finished only for one
// message.
func (b *bulk) digest() string {
	key := ""
	if b.client.Key != nil {
		key = b.client.Key.PublicKey().String()
	}
	m := b.message
	text, err := json.Marshal(struct {
		HasPayload bool
		Payload    []byte
		Encoding   ece.Encoding
		Pad        int
		TTL        *time.Duration
		Urgency    webpush.Urgency
		Topic      string
		Header     http.Header
		GCM        bool
		Key        string
	}{m.Payload != nil, m.Payload, m.Encoding, m.Pad, m.TTL, m.Urgency, m.Topic, m.Header, m.GCM != nil, key})
	if err != nil {
		panic(err) // no value of these can fail
	}
	return string(text)
}

// jobs reads the records and makes jobs of those that are not finished.
func (b *bulk) jobs() iter.Seq2[webpush.Job, error] {
	return func(yield func(webpush.Job, error) bool) {
		for {
			r := b.next()
			if r == nil {
				return
			}
			job, err := b.job(r)
			job.Value = r
			if !yield(job, err) {
				return
			}
		}
	}
}

// next returns the next record that is not finished, or nil at the end.
func (b *bulk) next() *record {
	b.reading.Lock()
	defer b.reading.Unlock()
	for {
		r, ok := b.source.next()
		if !ok || errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded) {
			b.ended.Store(!ok)
			b.cut = b.cut || ok
			return nil
		}
		var end *inputEnd
		b.cut = b.cut || errors.As(r.err, &end)
		b.tally.readBytes.Store(b.source.read())
		b.tally.readRecords.Add(1)
		r.unfold()
		if b.journal != nil && r.raw != nil && b.journal.Done(r.raw) {
			b.tally.already.Add(1)
			continue
		}
		return r
	}
}

var (
	// overrides are the members beside a subscription that count before the
	// command's options.
	overrides = []string{"payload", "ttl", "urgency", "topic", "vapidKey"}
	// otherFields are the rest of a record, and those in which sites keep the
	// public key.
	otherFields = []string{"id", "subscription", "applicationServerKey", "application_server_key", "vapidPublicKey", "vapid_public_key", "options"}
)

// job makes the job of a record.
func (b *bulk) job(r *record) (webpush.Job, error) {
	job := webpush.Job{Message: b.message}
	if r.err != nil {
		return job, r.err
	}
	var err error
	browsers := bytes.HasPrefix(r.raw, []byte(`{"endpoint"`)) && bytes.HasSuffix(r.raw, []byte("}}")) // nothing else, but in between
	if browsers && !bytes.Contains(r.raw, []byte(`"subscription"`)) && !bytes.Contains(r.raw, []byte(`"id"`)) && bytes.IndexByte(r.raw, '\\') < 0 {
		job.Subscription, err = webpush.ParseSubscription(r.raw)
		return job, err
	}
	if id, subscription, ok := plainRecord(r.raw); ok {
		r.setID(id)
		job.Subscription, err = webpush.ParseSubscription(subscription)
		return job, err
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(r.raw, &members) == nil {
		r.setID(members["id"])
	}
	inner := members["subscription"]
	if inner == nil || members["endpoint"] != nil {
		b.noteFlat(members)
		job.Subscription, err = webpush.ParseSubscription(r.raw)
		return job, err
	}
	if job.Subscription, err = webpush.ParseSubscription(inner); err != nil {
		return job, err
	}
	if err := b.overrideAll(&job, members); err != nil {
		return job, err
	}
	for name := range members {
		if !slices.Contains(overrides, name) && !slices.Contains(otherFields, name) {
			b.mu.Lock()
			if _, seen := b.fields[name]; !seen && len(b.fields) < 100 {
				b.fields[name] = false
			}
			b.mu.Unlock()
		}
	}
	return job, nil
}

// plainRecord takes a record apart that has an id and a subscription, in this
// order, and nothing else, as most have that are wrapped. ok is false for all
// others, valid or not, which encoding/json reads in thrice the time.
func plainRecord(raw []byte) (id, subscription []byte, ok bool) {
	after := func(b []byte, text string) []byte { // and a space, which some writers put there
		rest, found := bytes.CutPrefix(b, []byte(text))
		if !found {
			return nil
		}
		return bytes.TrimPrefix(rest, []byte(" "))
	}
	value := func(b []byte) []byte {
		var s valueScanner
		return b[:s.scan(b)]
	}
	rest := after(raw, `{"id":`)
	id = value(rest)
	rest = after(after(rest[len(id):], ","), `"subscription":`)
	subscription = value(rest)
	ok = len(subscription) > 1 && subscription[0] == '{' && string(rest[len(subscription):]) == "}" && json.Valid(id)
	return id, subscription, ok
}

// noteFlat notes members of a wrapped record that stand in the subscription
// itself. A vapidKey there is the one that it was made with.
func (b *bulk) noteFlat(members map[string]json.RawMessage) {
	for _, name := range overrides {
		if value := members[name]; value != nil && string(value) != "null" && name != "vapidKey" {
			b.mu.Lock()
			b.flat[name] = true
			b.mu.Unlock()
		}
	}
}

// tellFlat warns of them, as everybody gets what the options say.
func (b *bulk) tellFlat() {
	for _, name := range slices.Sorted(maps.Keys(b.flat)) {
		b.s.warn(fmt.Sprintf("%q stands beside \"endpoint\" in a record, where it does not count", name), fmt.Sprintf(`wrap the subscription: {"subscription": {…}, %q: …}`, name))
	}
}

// membersBeside returns the members of a record that has its subscription in
// one of them, or nil.
func membersBeside(text []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members["subscription"] == nil || members["endpoint"] != nil {
		return nil
	}
	return members
}

func (b *bulk) overrideAll(job *webpush.Job, members map[string]json.RawMessage) error {
	for _, name := range overrides {
		if value := members[name]; value != nil && string(value) != "null" {
			if err := b.override(job, name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// override applies a member of a record to its job.
func (b *bulk) override(job *webpush.Job, name string, value json.RawMessage) error {
	var text string
	isText := json.Unmarshal(value, &text) == nil
	m := &job.Message
	var err error
	switch name {
	case "payload":
		if m.Payload = []byte(text); !isText {
			var c bytes.Buffer
			if err := json.Compact(&c, value); err != nil {
				return err
			}
			m.Payload = c.Bytes()
		}
	case "ttl":
		if !isText {
			text = string(value)
		}
		d, err := parseDuration(text)
		if err != nil || d < 0 || d > webpush.MaxTTL {
			return badField(name, value, "expected 0 to 2147483648 seconds, or a time such as \"12h\"")
		}
		m.TTL = &d
	case "urgency":
		if m.Urgency, err = webpush.ParseUrgency(text); err != nil || !isText {
			return badField(name, value, "expected "+strings.Join(urgencyWords(), ", "))
		}
	case "topic":
		if !isText {
			return badField(name, value, "expected a string")
		}
		m.Topic = text
		return webpush.CheckTopic(text)
	case "vapidKey":
		job.Key, err = b.recordKey(value, text, isText)
		return err
	}
	return nil
}

// badField words a member of a record that has no value to use.
func badField(name string, value json.RawMessage, want string) error {
	return fmt.Errorf("%s is %s, %s", name, shorten(string(value)), want)
}

// shorten keeps the beginning of what a record has.
func shorten(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// maxKeys is how many keys of records are kept.
const maxKeys = 10000

// recordKey returns the key of a record; nil is the command's. A public key is
// what the subscription was made with: then only its private half can sign.
func (b *bulk) recordKey(value json.RawMessage, text string, isText bool) (*vapid.Key, error) {
	if !isText {
		text = string(value)
	}
	if key, ok := b.keys[text]; ok {
		return key, nil
	}
	key, err := vapid.ParseKey([]byte(text))
	if err != nil {
		public, notPublic := vapid.ParsePublicKey([]byte(text))
		switch {
		case notPublic != nil:
			return nil, within("vapidKey", err)
		case b.client.Key == nil || b.client.Key.PublicKey() != public:
			return nil, withHint(errors.New("vapidKey is a public key, and not that of the key that signs"), "write the private key of it into the record, or give it with -k")
		}
	}
	if len(b.keys) >= maxKeys {
		clear(b.keys)
	}
	b.keys[text] = key
	return key, nil
}

// tellFields warns once of members that mean nothing, which may be misspelt, or
// stand where they mean nothing.
func (b *bulk) tellFields() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tellFlat()
	for _, name := range slices.Sorted(maps.Keys(b.fields)) {
		if !b.fields[name] {
			b.fields[name] = true
			b.s.warn(fmt.Sprintf("records have the member %q, which means nothing here", shorten(name)), "beside subscription and id, a record may have payload, ttl, urgency, topic and vapidKey")
		}
	}
}

// commit writes what has come in: first the results, then that it is finished.
func (b *bulk) commit(results []webpush.Result) error {
	var err error
	for i := range results {
		r := &results[i]
		b.tally.add(r, r.Job.Value.(*record))
		err = cmp.Or(err, b.outputs.write(r, r.Job.Value.(*record)))
	}
	if err = cmp.Or(err, b.outputs.flush(b.journal != nil)); err != nil {
		b.keep(results, false)
		return err
	}
	if b.journal == nil {
		return nil
	}
	for i := range results {
		if rec := results[i].Job.Value.(*record); rec.raw != nil && !mendable(&results[i]) {
			b.journal.Record(rec.raw, results[i].Class)
		}
	}
	begun := time.Now()
	err = b.journal.Commit()
	if err != nil {
		b.lost += delivered(results)
	}
	b.commits.end(begun, len(results), b.concurrency)
	return within("--resume", err)
}

// mendable reports whether a message was rejected for something that is mended
// here, after which the same run can go on: the token, or this side's own rules.
func mendable(r *webpush.Result) bool {
	var e *webpush.Error
	return r.Class == webpush.ClassRejected && errors.As(r.Err, &e) &&
		(e.Code == webpush.CodeRefused || strings.HasPrefix(string(e.Code), "vapid_"))
}

// commitTimes says how long results are to come in before the next commit to a
// journal: many become durable at the price of one.
type commitTimes struct {
	first, last time.Time     // the ends of commits
	next        time.Duration // after the last
	n           int           // results of all commits after the first
}

// end notes a commit of n results, of those of which so many may be in flight.
func (c *commitTimes) end(begun time.Time, n, inFlight int) {
	now := time.Now()
	if c.last = now; c.first.IsZero() {
		c.first = now
		return
	}
	c.n += n
	// A twentieth of the time may be spent with commits, and a part of the
	// messages in flight wait for one: the rest keeps the sender busy.
	part := now.Sub(c.first) * time.Duration(inFlight) / time.Duration(4*c.n)
	c.next = min(20*now.Sub(begun), 10*time.Millisecond, part)
}

// wait waits until the next commit is due.
func (c *commitTimes) wait() {
	if !c.last.IsZero() {
		time.Sleep(c.next - time.Since(c.last))
	}
}

func delivered(results []webpush.Result) (n int64) {
	for i := range results {
		if results[i].Class == webpush.ClassDelivered {
			n++
		}
	}
	return n
}

// keep notes results when a file could not be written: nobody is to get a
// message again because of that. All but those that were delivered are left to
// the next run, which writes them to the file. more are results that are not
// counted yet.
func (b *bulk) keep(results []webpush.Result, more bool) {
	b.lost += delivered(results)
	for i := range results {
		r := &results[i]
		rec := r.Job.Value.(*record)
		if more {
			b.tally.add(r, rec)
			_ = b.outputs.write(r, rec) // to those that can be written
		}
		if b.journal != nil && r.Class == webpush.ClassDelivered {
			b.journal.Record(rec.raw, r.Class)
		}
	}
}

// unwritten adds to the error of a file what to do about it.
func (b *bulk) unwritten(err error) error {
	var steps []string
	if errors.Is(err, syscall.ENOSPC) {
		steps = append(steps, "make room")
	}
	if b.journal != nil {
		steps = append(steps, "repeat the command: what was delivered is not sent again")
	}
	var journal *webpush.JournalError
	switch {
	case b.lost == 0:
	case b.unjournalled:
		steps[len(steps)-1] = fmt.Sprintf("repeat the command: up to %d messages that were delivered are not in the journal, and would be sent again", b.lost)
	case !errors.As(err, &journal):
		steps = append(steps, fmt.Sprintf("the results of up to %d messages that were delivered are not written", b.lost))
	}
	if len(steps) == 0 {
		return err
	}
	return withHint(err, strings.Join(steps, "; "))
}

var errNotReached = errors.New("stopped before its turn")

// lostAtOnce is what there is to say when a second interrupt ends the run.
func (b *bulk) lostAtOnce() *string {
	o := &b.o.bulk
	switch {
	case b.journal != nil:
		return new("stopped at once: repeat the command to send what is not finished; what was in flight may arrive twice")
	case o.results != "" || o.gone != "" || o.retryLater != "" || b.s.json:
		return new("stopped at once: what was in flight, and what was not read, is in no file")
	}
	return new("stopped at once: what was in flight may have arrived")
}

// rest writes down the records that were not reached when the run stopped
// early, where the next one needs them.
func (b *bulk) rest() error {
	if b.outputs.retryLater == nil || b.ended.Load() || !b.reading.TryLock() { // locked: it still waits for a pipe
		return nil
	}
	b.reading.Unlock()
	var batch []webpush.Result
	for {
		r := b.next()
		if r == nil || len(batch) == 1000 {
			if err := b.commit(batch); err != nil || r == nil {
				return err
			}
			batch = batch[:0]
		}
		job, err := b.job(r)
		job.Value = r
		class := webpush.ClassSkipped
		if err != nil {
			class = webpush.ClassInvalid
		}
		batch = append(batch, webpush.Result{Job: job, Class: class, Err: cmp.Or(err, errNotReached)})
	}
}

// complete reports, after the run, whether all records of the input were read.
func (b *bulk) complete() bool { return b.ended.Load() && !b.cut }

// finish says how it went; the error is that which decides the exit code.
func (b *bulk) finish(ctx, run context.Context) error {
	t := b.tally
	stopped := ""
	switch {
	case ctx.Err() != nil:
		stopped = "interrupted"
	case run.Err() != nil:
		stopped = "the time of --deadline is over"
	case b.o.bulk.maxFailures > 0 && t.failures() >= int64(b.o.bulk.maxFailures):
		stopped = fmt.Sprintf("stopped after %d failures", t.failures())
	}
	complete := b.complete()
	if !b.o.bulk.quiet {
		b.summary(stopped, complete)
	}
	total, good := t.total(), t.n[webpush.ClassDelivered]
	later := t.n[webpush.ClassTemporary] + t.n[webpush.ClassSkipped]
	if b.o.dryRun {
		good, later = t.n[webpush.ClassSkipped], 0
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case good == total && complete:
		return nil
	case b.o.dryRun && stopped == "":
		return &exitError{fmt.Errorf("%d of %d messages could not be sent", total-good, total), exitPartial}
	case good == total && total > 0:
		return &exitError{cmpError(stopped, "the input was not read to its end"), exitPartial}
	case good == 0 && later == total && (total > 0 || !complete):
		return &exitError{cmpError(stopped, fmt.Sprintf("none of %d messages could be delivered for now", total)), exitTemporary}
	}
	was := "were"
	if total-good == 1 {
		was = "was"
	}
	return &exitError{cmpError(stopped, fmt.Sprintf("%d of %d messages %s not delivered", total-good, total, was)), exitPartial}
}

func cmpError(stopped, text string) error {
	if stopped != "" {
		text = stopped + ": " + text
	}
	return errors.New(text)
}
