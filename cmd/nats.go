package cmd

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/pkg/queue"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// natsEnv is the environment variable for the address of NATS servers, and
// natsPasswordEnv the one for a password: secrets must not be arguments.
const (
	natsEnv         = "WEBPUSH_NATS"
	natsPasswordEnv = "WEBPUSH_NATS_PASSWORD"
)

// natsOptions are the flags for the connection to NATS and for new streams.
type natsOptions struct {
	flag, address string // name and value of the flag for the address
	dial          queue.DialOptions
	config        queue.Config
}

// addAddressFlag adds the flag for the address; send has its own.
func (o *natsOptions) addAddressFlag(f *pflag.FlagSet) {
	o.flag = "nats"
	f.StringVar(&o.address, o.flag, "", "connect to the NATS server at `URL`, or to one of several, separated by commas (also: "+natsEnv+")")
}

// addFlags adds the other flags.
func (o *natsOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.dial.Creds, "nats-creds", "", "use the credentials `FILE` of nsc, with a JWT and a key")
	f.StringVar(&o.dial.NKey, "nats-nkey", "", "read the seed of an nkey from `FILE`")
	f.StringVar(&o.dial.User, "nats-user", "", "log in as the user `NAME`; the password comes from "+natsPasswordEnv)
	f.StringVar(&o.dial.CAFile, "nats-ca-file", "", "trust the CAs in this PEM `FILE` for the server's certificate")
	f.StringVar(&o.dial.CertFile, "nats-cert", "", "use the client certificate in this PEM `FILE`")
	f.StringVar(&o.dial.KeyFile, "nats-key", "", "read the private key of the client certificate from this PEM `FILE`")
	inGroup(f, help.NATS)
	f.Var(number(&o.config.Replicas, 1, 5), "stream-replicas", "keep the streams on `N` servers of a cluster (default: 1)")
	f.Var(number(&o.config.MaxBytes, 1, 0), "stream-max-bytes", "let the stream of records grow to `BYTES` (default: no limit)")
	f.Var(positive(&o.config.MaxAge), "stream-max-age", "drop records that no worker has fetched after this time (default: 7d)")
	f.Var(positive(&o.config.ResultsMaxAge), "results-max-age", "keep results for this time (default: 7d)")
	f.Var(positive(&o.config.DuplicateWindow), "duplicate-window", "recognize a repeated record of a run for this time (default: 1h)")
	inGroup(f, help.Streams)
}

// check returns an error if a file cannot be read.
func (o *natsOptions) check(s *streams) error {
	if (o.dial.CertFile == "") != (o.dial.KeyFile == "") {
		return usage("pass both", "--nats-cert and --nats-key must be used together")
	}
	for _, f := range []struct{ flag, file string }{
		{"nats-creds", o.dial.Creds}, {"nats-nkey", o.dial.NKey}, {"nats-ca-file", o.dial.CAFile}, {"nats-cert", o.dial.CertFile}, {"nats-key", o.dial.KeyFile},
	} {
		if f.file != "" {
			if _, err := s.file(f.file); err != nil {
				return within("--"+f.flag, err)
			}
		}
	}
	return nil
}

// connect connects to the servers at the address in the flag or in the environment, and
// creates the streams that do not exist. log gets changes of the connection.
func (o *natsOptions) connect(ctx context.Context, s *streams, log func(string)) (*queue.Queue, error) {
	address := o.address
	switch {
	case address == "" || address == "nats:":
		if address = strings.TrimSpace(os.Getenv(natsEnv)); address == "" {
			return nil, usage("add --"+o.flag+" nats://localhost:4222, or set "+natsEnv, "the address of the NATS server is missing")
		}
	case queue.HasPassword(address):
		s.warn("--"+o.flag+": other users of this machine can see the password in the list of processes", "set "+natsEnv+" to the address, or use --nats-creds, or --nats-user and "+natsPasswordEnv)
	}
	dial := o.dial
	dial.Name, dial.Log = "webpush", log
	if dial.User != "" {
		if dial.Password = os.Getenv(natsPasswordEnv); dial.Password == "" {
			return nil, usage("set it to the password", "--nats-user needs the password in %s", natsPasswordEnv)
		}
	}
	q, err := queue.Dial(ctx, address, dial, o.config)
	if err != nil {
		return nil, natsError(err)
	}
	if !q.Encrypted() {
		for server := range strings.SplitSeq(queue.Redact(address), ",") {
			if u, err := url.Parse(server); err == nil && !webpush.Loopback(u.Hostname()) {
				s.warn("the connection to "+server+" is not encrypted: endpoints and payloads can be read on the way", "use tls://")
				break
			}
		}
	}
	return q, nil
}

// logNotes prints changes of the connection, for commands that do not write a log.
func (s *streams) logNotes(message string) { s.note("%s", message) }

// checkRun returns an error if the value of the flag is not the name of a run.
func checkRun(flag, name string) error {
	if name == "" {
		return nil
	}
	return wrongFlag(flag, queue.CheckRun(name))
}

// natsError gives an error of the queue its hint and exit code.
func natsError(err error) error {
	var e *queue.Error
	if errors.As(err, &e) && e.Temporary() {
		return &exitError{err, exitTemporary}
	}
	return err
}
