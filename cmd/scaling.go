package cmd

import "github.com/spf13/cobra"

// newScalingTopic is a help topic: webpush help scaling, and webpush-scaling(7).
func newScalingTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "scaling",
		Short: "How to send to millions of subscriptions, and on several machines",
		Long: `scaling says which setup fits how many subscriptions, what a crash costs, and
what limits a large sender.

One machine is enough for most. A message costs some 80 microseconds of processor
time, nearly all of it for the cryptography that RFC 8291 requires, so two
processors send about 16,000 messages per second if the push services accept that
many:

  subscriptions    processor time    at 16,000 per second
  100,000          8 s               6 s
  1,000,000        80 s              1 min
  10,000,000       14 min            10 min
  100,000,000      2.3 h             1.8 h
  1,000,000,000    23 h              18 h

Memory does not grow with the number: about 45 MiB for send, whatever it sends.

WHICH SETUP. Take the first that has what you need:

  send --resume JOURNAL       One file, one machine, no service to run. After a
                              crash, the same command continues.
  serve                       A site's subscriptions in SQLite, one process: it
                              stores, sends, schedules, and cleans up.
  serve --database postgres:  The same on several machines, for availability or
                              since the subscriptions belong in PostgreSQL.
  send --to, worker, results  Records of your own programs through NATS JetStream,
                              sent by any number of equal workers.

With PostgreSQL, a push is split into parts of 5,000 recipients that servers lease;
no message passes through a queue, so this is the setup for one message to
millions. With NATS, each record is a message in a stream: that is the setup for
many different messages, such as those of a chat. A stream of records takes space:
an endpoint, its keys, and a payload are some hundred bytes each, stored as often as
the stream has replicas, until a worker has sent them.

WHAT A CRASH COSTS. Nothing that was acknowledged is lost in any setup. What was in
flight may arrive twice, since a push service's response is not known: at most the
concurrency of the process that was killed. Nothing else is sent twice.

  send --resume     nothing happens until you run the command again
  serve, SQLite     the push continues when the process starts again
  serve, PostgreSQL other servers take over after the lease of 15 s
  worker            other workers take over after 15 s
  NATS, PostgreSQL  while they restart, sending pauses and continues by itself

A Topic makes the second of two messages replace the first on devices that are
offline. A service worker that uses the notification's tag shows one of two.

HOW MANY WORKERS. Divide the rate that you want by 8,000 per second and processor,
and add one machine for the day that another fails. More do not help beyond the
rates that the push services accept, which are the real limit:

  FCM       Firebase documents 600,000 messages per minute and project for its
            HTTP v1 API. Whether Web Push shares that quota is not documented.
            10,000 per second are the work of little more than one processor; two
            thirds of 1,000,000,000 subscriptions at that rate take 18 hours.
  WNS       throttles with 406, and then rejects for an hour to a day.
  Mozilla   and Apple publish no limit and answer 429 with Retry-After.

--rate-per-origin fcm=10000/s,default=500/s sets a rate for each push service. All
servers on one PostgreSQL database share it, and hold together when one of them is
told to wait; so do second attempts. Without a rate, a sender that is refused halves
its own and recovers slowly.

WHAT TO WATCH. The share of gone subscriptions: delete them (--gone, or serve by
itself), since services count messages to them as well. Refusals with 429 and 503:
lower the rate. The age of the oldest record of a lane (worker --metrics) or of the
queue (serve, /metrics): add workers if no service asks to wait. The TTL: choose it
for what the message is worth, since it counts from the moment that you hand it
over, and expired messages are not sent.`,
	}
}
