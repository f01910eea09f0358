package cmd

import "github.com/spf13/cobra"

// newTopics returns the help topics: text that concerns several commands, printed
// by webpush help TOPIC and kept in section 7 of the manual.
func newTopics() []*cobra.Command {
	return []*cobra.Command{
		newScalingTopic(),
		{Use: "bulk", Short: "Send to many subscriptions: records, results, limits, and resuming", Long: bulkTopic},
		{Use: "pushes", Short: "Send with POST /push of serve: fields, times, canceling, and tracking", Long: pushesTopic},
		{Use: "testing", Short: "Test without an account: certificates, browsers, and other senders", Long: testingTopic},
		{Use: "migration", Short: "Find the equivalents of py_vapid, pywebpush, and web-push (npm)", Long: migrationTopic},
	}
}

const bulkTopic = `webpush send accepts any number of subscriptions with -f: NDJSON, JSON arrays,
values over several lines, CSV and TSV, SQL dumps, directories of *.json (not their
subdirectories), pipes (-f -), and any combination. The format is detected from the
content, and the input is streamed. An invalid record does not affect the others.

RECORDS. A record is a subscription, or an object that contains one:

    {"id": 7, "subscription": {…}, "payload": …, "ttl": …, "urgency": …,
     "topic": …, "vapidKey": …}

The id is copied to the result; the other fields override the flags for that record.
A payload that is not a string is sent as JSON text. vapidKey is a private key in any
format. null has the same meaning as an absent field.

Rows of a database are accepted as they are: with the keys under other names, such as
public_key and auth_token or p256dh_key and auth_key; as CSV or TSV with a header
line; in an envelope such as {"data": […]}; in a map from names to subscriptions; as
dumps of mysqldump, pg_dump, SQLite, and SQL Server; as tables that psql and mysql
print; and as exports of DynamoDB, Firestore, GraphQL, and Elasticsearch. For your own
column names, use --map p256dh=COLUMN,auth=COLUMN,endpoint=COLUMN,id=COLUMN. To send
a message without a payload to such a row, add --empty.

RESULTS. With --results FILE, or --json for standard output, each record has one
object per line with these fields:

    index, id, file, line   position of the record (element, in an array)
    origin, service         the push service
    endpointHash            the first 16 bytes of the endpoint's SHA-256, in hex
    class                   see below
    status, code, reason    the response of the push service
    hint                    what to do
    attempts, latencyMs     number of attempts, and duration
    ttl, location           what the push service returned
    note                    what is unusual about a success

To compute the hash in a shell: printf %s "$endpoint" | sha256sum | cut -c 1-32. The
endpoint itself, with which anyone can send, is included with --show-endpoints.

The class determines what to do:

    delivered   nothing
    gone        delete the subscription; --gone FILE collects these records (never
                because of a network error or a 5xx response)
    rejected    fix the message or the key
    temporary   try again later; --retry-later FILE collects these records for -f (an
                empty file is valid if its name ends in .ndjson or .jsonl)
    expired     the TTL was used up before the message could be sent
    invalid     fix the record
    skipped     the run stopped before this record, or was a dry run

In the files of --gone and --retry-later, the records are exactly as they were read.

LIMITS. --concurrency and --rate apply to the whole run, --concurrency-per-origin and
--rate-per-origin to each push service. --max-failures and --deadline stop a run.
--rate-per-origin 200/s is for each origin. With
--rate-per-origin fcm=10000/s,mozilla=500/s,default=200/s, a named service has one rate
for all its origins. Retries count. A 429 or 503 response pauses only the push service
that sent it. Without a rate, a push service that refuses messages gets half of what
it accepted before, then 3% more each second. A push service that stops accepting
messages is skipped for a while; its records are temporary.

RESUMING. --resume JOURNAL keeps a crash-safe list of finished records. If the run is
killed, repeat the command to send the rest; only messages that were in flight can
arrive twice. Temporary failures are retried. So are messages rejected because of the
token, the key, or local rules (--allow-http, --deny-private), because you can fix
those. Other records are not sent again. A record is identified by its exact text, in
any file and position; the same subscription serialized differently is a new record.
Use a new journal for each message. A resumed run appends to --results and --gone (for
each record, the last line is valid) and overwrites --retry-later.

PROGRESS. Ctrl-C finishes the requests in flight and writes all results; press it
again to stop at once. Progress is a bar on a terminal, and a line every 5 seconds
elsewhere; -q omits it and the summary. With --json, the summary is an object on
standard error.

EXIT CODES. The exit code is 0 if all messages were delivered, 3 if some were not, and
6 if none could be delivered and all can be retried. Gone subscriptions that --gone
collects do not count as failures, unless --fail-on-gone is set. Records already in
the journal are not counted again. A single subscription has the exit codes of a
single message, unless one of these flags is used.`

const pushesTopic = `POST /push of webpush serve sends a message to all subscriptions, to a user, or to a
tag. All fields are described at /openapi.json of the server.

FIELDS. A text becomes the body of a notification; the header fields Title, TTL,
Urgency, Topic, Click, Tag, To-User, and To-Tag set the rest. JSON, with Content-Type:
application/json, has all fields, such as sendAt for a later time.

TIMES. A ttl above 0 counts from the request or from sendAt: a message that the server
could not send by then expires. Before a push is due, PATCH /push/{id} moves it, and
DELETE cancels it; the page does both.

CANCELING. A push with "cancelable": true can also be canceled after it is done: its
messages are withdrawn from the push services that allow this.

REPEATING. With the header Idempotency-Key, a request that is repeated within a day
returns the same push and sends nothing twice.

MONITORING. /healthz writes to the database, so it also notices a full disk. It warns if
servers on one database have different current keys, and of subscriptions of a key that
the server does not have. In /metrics, webpush_subscriptions, webpush_jobs,
webpush_queue_messages, and webpush_database_bytes are for the database that servers
share; all other metrics are for one server.

RETRYING. POST /push/{id}/retry sends all messages again that failed temporarily or
expired. A body such as {"class": "rejected", "status": 401} selects failures with one
cause instead, for example after you have fixed it; the page does this with "Retry
these".

THE PAGE. It shows the stages of each test message (encrypted, accepted, received,
shown, clicked) and groups the messages that were not delivered by their cause. On a
terminal, serve also prints a link that opens the page as the administrator.

TRACKING. With --track, serve adds an ID to each notification that is sent with POST
/push (data.webpush.track), and the page's service worker reports to POST /report
whether it was shown, clicked, or closed. The push, the page, and /metrics count the
reports. The ID is random and the same for all recipients of a push, so it does not
identify anyone. The server stores three numbers for each push. It stores and logs
neither the address nor the user of a report, and uses the address only to limit how
often it may report. Reports can be missing or repeated (a browser is closed, or a
visitor sends one twice), so the numbers are estimates, never above the number of
recipients. Payloads of your own (payload) are not changed and not tracked. Without
--track, messages carry no ID, service workers make no request, and the route does not
exist. Check whether the law that applies to you requires consent.

A site's own service worker needs this, with the address of your server:

    const report = (notification, event) => {
      const id = notification.data?.webpush?.track;
      return id && fetch('https://push.example.com/report', {
        method: 'POST', keepalive: true,
        headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({id, event}),
      }).catch(() => {});
    };
    self.addEventListener('push', event => {
      const {title, ...options} = event.data.json();
      event.waitUntil(self.registration.showNotification(title, options)
        .then(() => report(options, 'shown')));
    });
    self.addEventListener('notificationclick', event =>
      event.waitUntil(report(event.notification, 'clicked')));
    self.addEventListener('notificationclose', event =>
      event.waitUntil(report(event.notification, 'closed')));`

const testingTopic = `webpush push-service is a push service on this machine, webpush listen is a user agent
in the terminal, and webpush browser starts a browser that uses the push service.

CERTIFICATES. With --tls, push-service creates a certificate authority (CA) once,
valid only for this machine's names, and reuses it, so you need to trust it only once.
To trust push-service-ca.pem:

    webpush send, webpush listen   --ca-file push-service-ca.pem
    Node.js                        NODE_EXTRA_CA_CERTS=push-service-ca.pem
    Python requests                REQUESTS_CA_BUNDLE=push-service-ca.pem
    curl                           --cacert push-service-ca.pem
    Firefox                        Settings, Privacy & Security, Certificates,
                                   View Certificates, Authorities, Import

FIREFOX. webpush browser firefox configures everything. To use your own profile, open
about:config and set dom.push.serverURL to ws://127.0.0.1:8090/ and
dom.push.testing.allowInsecureServerURL to true.

CHROMIUM. With --chromium, push-service also serves Chromium, Chrome, Edge, and Brave.
The endpoints of these browsers stay at Google's host names, so senders connect to
this push service instead. push-service prints the exact settings:

    webpush send      --connect-to fcm.googleapis.com:443:127.0.0.1:5228
                      --connect-to jmt17.google.com:443:127.0.0.1:5228
                      --ca-file push-service-chromium-ca.pem
    Node.js,          in its options: proxy: process.env.HTTPS_PROXY
    with web-push     HTTPS_PROXY=http://127.0.0.1:5228
                      NODE_EXTRA_CA_CERTS=push-service-chromium-ca.pem
    Python,           HTTPS_PROXY=http://127.0.0.1:5228
    with pywebpush    REQUESTS_CA_BUNDLE=push-service-chromium-ca.pem

The proxy accepts only the Google hosts that the push service replaces. The CA can
sign only for these names. Give it only to the processes that send, and never install
it in a system or in a browser that you use: its key could be used to impersonate
these hosts.

WITHOUT A BROWSER. webpush listen also speaks the protocols of Chromium, with
push-service --chromium. The endpoint is at
https://fcm.googleapis.com, as in Chrome, and never leaves this machine; listen prints
the send command with its flags:

    webpush push-service --chromium &
    webpush listen --server chromium://127.0.0.1:5228 \
      --ca-file push-service-chromium-ca.pem &
    webpush send -f subscription.json -p "hi" --subject mailto:you@your.domain \
      --connect-to fcm.googleapis.com:443:127.0.0.1:5228 \
      --ca-file push-service-chromium-ca.pem

webpush listen --server fcm does the same at Google, so send reaches it through the
real FCM. This is experimental: it has not been tested against Google's servers, and
Google does not document these protocols for programs other than Chromium. To remove
the subscription, use webpush listen --unregister.

OTHER TESTS. Tests in any language can use the JSON API of push-service, or the routes
of the npm package web-push-testing. --as mozilla|fcm|apple|wns imitates the responses
of that push service, and --fault injects failures. Go programs use the packages
pushservice and useragent, without another process.`

const migrationTopic = `The key files and key strings of these tools work without conversion.

vapid (py_vapid):

    vapid                                    webpush
    vapid --gen                              webpush gen (never overwrites without
                                             --force)
    vapid --sign claims.json                 webpush sign claims.json
    vapid --sign claims.json --json          webpush sign claims.json --json
    vapid --sign claims.json --version1      webpush sign claims.json
                                             --scheme webpush
    vapid --applicationServerKey             webpush app-server-key
    --private-key FILE, --no-strict          the same flags

pywebpush:

    --info sub.json --data message.txt       send -f sub.json
                                             --payload-file message.txt
    --key private_key.pem                    -k private_key.pem
    --claims claims.json                     --claims claims.json
    --head headers.json                      --ttl, --urgency, --topic,
                                             --header 'Name: value'
    --encoding aesgcm, --curl                the same flags
    --wns                                    not needed: detected automatically
    gcm_key=, reg_id= (up to 2.1.2)          --gcm-key, --gcm-reg-id

web-push (npm):

    generate-vapid-keys --json               gen --json
    send-notification --endpoint …           send with the same flags, or with
      --key … --auth …                       -f sub.json, which hides the secrets
    --payload, --ttl, --proxy, --encoding    the same flags
    --vapid-subject, --vapid-pvtkey          --subject, -k FILE or -k env:NAME (the
                                             public key is computed)
    --gcm-api-key                            --gcm-key`
