package cmd

import "github.com/spf13/cobra"

// newScalingTopic is a help topic: webpush help scaling, and webpush-scaling(7).
func newScalingTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "scaling",
		Short: "How to send to millions of subscriptions, and on several machines",
		Long: `Choose a setup for the number of your subscriptions, and know the cost of a crash and
the limits of a large sender.

One machine is enough for most sites. A message costs about 80 microseconds of
processor time, nearly all of it for the cryptography that RFC 8291 requires. Two
processors send about 16,000 messages per second, if the push services accept that
many:

    subscriptions    processor time    at 16,000 per second
    100,000          8 s               6 s
    1,000,000        80 s              1 min
    10,000,000       14 min            10 min
    100,000,000      2.3 h             1.8 h
    1,000,000,000    23 h              18 h

Memory does not grow with the number of subscriptions: send needs about 45 MiB.

WHICH SETUP. Use the first setup that fits:

    send --resume JOURNAL       One file, one machine, no service to run. After a
                                crash, repeat the command to continue.
    serve                       A site's subscriptions in SQLite, one process: it
                                stores, sends, schedules, and cleans up.
    serve --database postgres:  Several servers on one PostgreSQL database, for
                                availability, or because your data is there.
    send --to, worker, results  Records of your own programs through NATS JetStream,
                                sent by any number of equal workers.

PostgreSQL fits one message to millions: servers lease parts of 5,000 recipients, and
no message passes through a queue. NATS fits many different messages, such as the
messages of a chat: each record is a message in a stream. A stream needs space: some
hundred bytes for each record and replica, until a worker has sent it.

WHAT A CRASH COSTS. No setup loses an acknowledged record. Messages in flight may
arrive twice, because the response of the push service was lost: at most as many as
the concurrency of the process that was killed. Nothing else is sent twice.

    send --resume       continues when you repeat the command
    serve, SQLite       continues when the process starts again
    serve, PostgreSQL   other servers take over within 15 seconds
    worker              other workers take over within 15 seconds
    NATS, PostgreSQL    sending pauses while they restart, and then continues

To hide a repeated message, set a topic, which replaces the first message for a device
that is offline, or the tag of the notification, which replaces the first on screen.

HOW MANY WORKERS. Divide the rate that you want by 8,000 per second for each
processor, and add a machine for the day when another fails. More workers do not help
beyond the rates that push services accept, which are the real limit:

    FCM       Firebase documents 600,000 messages per minute and project for its
              HTTP v1 API, but not whether Web Push shares that quota. 10,000 per
              second need little more than one processor; two thirds of
              1,000,000,000 subscriptions take 18 hours at that rate.
    WNS       throttles with 406, and then rejects for an hour to a day.
    Mozilla   and Apple publish no limit, and respond with 429 and Retry-After.

--rate-per-origin fcm=10000/s,default=500/s sets a rate for each push service. All
servers on one PostgreSQL database, or all workers on one NATS server, share it and
pause together when a push service asks one of them to wait. Retries count. Without a
rate, a sender that is refused halves its own rate and recovers slowly.

WHAT TO WATCH. The share of gone subscriptions: delete them (--gone; serve does it
itself), because push services count messages to them as well. Responses with 429 and
503: lower the rate. The age of the oldest record in a lane (worker --metrics) or in
the queue (serve, /metrics): add workers if no push service asks to wait. The TTL:
set it to the time for which the message has value. It counts from the moment when
you hand the message over, and expired messages are not sent.

MEASURED. make bench printed these figures on two cores of an Intel Xeon, with sender
and push service on the same machine. The limit is the cryptography alone: parsing a
point, making a P-256 key, one ECDH, and AES-GCM.

    encrypting 100 bytes      67 µs for the limit; 1.04 times that in the
                              package ece, 1.07 times for a whole request
    send, 100,000 messages    82 µs each, 1.23 times the limit; 114 µs with
                              --http standard
    throughput                16,000 per second; 12,500 with --http standard
    memory                    41 MiB for 100,000 records, 43 MiB for 1,000,000
    --resume                  4 to 5% less throughput
    --rate-per-origin         2 to 4% more processor time
    a push service 100 ms     98%, 96%, and 95% of concurrency / latency, for
    away                      64, 256, and 512 messages at a time
    worker                    99 µs for each message, and 56 MiB for 300,000;
                              enqueueing costs 23 µs
    serve                     26 MiB idle, 69 MiB with 1,000 event streams, and
                              30 to 33 MiB for 10,000 to 1,000,000 rows; during
                              a push, 200 subscribers get responses within 8 ms
                              (median) and 26 ms (99 of 100)
    serve import              100,000 subscriptions in 8 s into SQLite, 20 s
                              into PostgreSQL; serve copy in 19 s
    shared rate of 200/s      199/s, at most 220 in one second (PostgreSQL);
                              198.8/s, at most 213 (NATS), with one of three
                              senders killed and one started; at 2,000/s:
                              1,998 and 2,064; 1,982 and 2,160
    push-service              30 KiB for each connection, both sides together;
                              15 KiB idle by WebSocket, 21 KiB by MCS
    webpush sign              6 ms and 14.4 MiB, from start to exit`,
	}
}
