package inspect

import (
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestLoggedResponse reads responses in the forms that libraries log.
func TestLoggedResponse(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		status int
		body   string
	}{
		"web-push as JSON":   {`{"name":"WebPushError","statusCode":410,"headers":{"content-type":"text/plain"},"body":"expired.\n","endpoint":"https://x"}`, 410, "expired.\n"},
		"web-push printed":   {"WebPushError: Received unexpected response code\n    at x {\n  statusCode: 403,\n  body: 'invalid JWT provided\\n',\n", 403, "invalid JWT provided\n"},
		"Python dictionary":  {`{'code': 410, 'errno': 106, 'error': 'Gone', 'more_info': None}`, 410, `{"code": 410, "errno": 106, "error": "Gone", "more_info": null}`},
		"pywebpush":          {"pywebpush.WebPushException: WebPushException: Push failed: 404 Not Found\nResponse body:{\"errno\":102}, Response {\"errno\":102}", 404, `{"errno":102}`},
		"Guzzle":             {"Client error: `POST https://x` resulted in a `410 Gone` response:\n{\"errno\":106}\n", 410, `{"errno":106}`},
		"Ruby":               {"host: fcm.googleapis.com, #<Net::HTTPGone 410 Gone readbody=true>\nbody:\npush subscription has unsubscribed", 410, "push subscription has unsubscribed"},
		"Elixir HTTPoison":   {`{:ok, %HTTPoison.Response{status_code: 410, body: "expired.\n", headers: []}}`, 410, "expired.\n"},
		"Elixir Finch":       {`{:ok, %Finch.Response{status: 403, body: "no", headers: []}}`, 403, "no"},
		"Tesla":              {`{:ok, %Tesla.Env{method: :post, url: "https://x", status: 410, body: "gone"}}`, 410, "gone"},
		"Rust":               {`Err(EndpointNotValid(ErrorInfo { code: 410, errno: 103, error: "Gone", message: "expired" }))`, 410, "expired"},
		".NET":               {"WebPush.WebPushException: Subscription no longer valid\n   at WebPush\nStatusCode: 410\n", 410, ""},
		"axios":              {"AxiosError: Request failed with status code 410\n    at settle", 410, ""},
		"requests":           {"requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://x", 403, ""},
		"httpx":              {"httpx.HTTPStatusError: Client error '410 Gone' for url 'https://x'", 410, ""},
		"aiohttp":            {"aiohttp.client_exceptions.ClientResponseError: 410, message='Gone', url=URL('https://x')", 410, ""},
		"reqwest":            {"HTTP status client error (410 Gone) for url (https://x)", 410, ""},
		"Apache HttpClient":  {"HttpResponseProxy{HTTP/1.1 410 Gone [Content-Type: text/plain]}", 410, ""},
		"OkHttp":             {"Response{protocol=h2, code=410, message=, url=https://x}", 410, ""},
		"fetch":              {"Response { status: 403, statusText: 'Forbidden', ok: false }", 403, ""},
		"Go":                 {"&{410 Gone 410 HTTP/2.0 2 0 map[] {0xc0} 2 [] false false map[] 0xc0 0xc1}", 410, ""},
		"Faraday":            {`#<Faraday::Response:0x0 @env=#<Faraday::Env @method=:post @status=410 @reason_phrase="Gone">>`, 410, ""},
		"an access log":      {`10.0.0.1 - - [01/Jan/2024] "POST /fcm/send/x HTTP/1.1" 410 0 "-" "-"`, 410, ""},
		"own words":          {"Exception: Failed to send: 410 push subscription has unsubscribed or expired.", 410, "push subscription has unsubscribed or expired."},
		"Python's requests":  {"{'status_code': 404, 'headers': {}, 'text': '{\"errno\":102}'}", 404, `{"errno":102}`},
		"<Response>":         {"<Response [410]>", 410, ""},
		"aiohttp's response": {"<ClientResponse(https://x) [410 Gone]>", 410, ""},
		"an Elixir tuple":    {`{:error, {:http_error, 410, "expired"}}`, 410, "expired"},
		".NET, unexpected":   {"WebPush.WebPushException: Received unexpected response code: 403\n   at x", 403, ""},
		".NET, gone":         {"WebPush.WebPushException: Subscription no longer valid", 410, ""},
		".NET's message":     {"StatusCode: 410, ReasonPhrase: 'Gone', Version: 1.1, Content: x", 410, ""},
		"a structured log":   {`time=x level=ERROR msg="push failed" status=403 body="{\"reason\":\"BadJwtToken\"}"`, 403, `{"reason":"BadJwtToken"}`},
		"a log in JSON":      {`{"level":"error","msg":"push failed","status":403,"body":"no"}`, 403, "no"},
		"axios as JSON":      {`{"message":"x","response":{"status":410,"data":"expired"}}`, 410, "expired"},
		"JSON in a sentence": {`push failed: {"statusCode":403,"reason":"Forbidden"}, giving up`, 403, "Forbidden"},
		"ntfy's body":        {`{"code":40301,"http":403,"error":"forbidden"}`, 403, `{"code":40301,"http":403,"error":"forbidden"}`},
		"a status line":      {"410 Gone", 410, ""},
		"a number":           {"410", 410, ""},
		"a notification 2":   {`{"title":"x","body":"y","status":200}`, 0, ""},
		"a result":           {`{"index":0,"class":"gone","status":410,"reason":"x"}`, 0, ""},
		"a notification":     {`{"title":"CI","body":"deploy failed: 500 errors"}`, 0, ""},
		"a sentence":         {"nothing failed: 12 tests ran", 0, ""},
		"a subscription":     {`{"endpoint":"https://x","keys":{"p256dh":"a"},"statusCode":201}`, 0, ""},
		"claims":             {`{"aud":"https://x","exp":1}`, 0, ""},
		"a status like that": {`{"statusCode":7}`, 0, ""},
		"no status of HTTP":  {`%Finch.Response{status: 000, body: "no"}`, 0, ""},
	} {
		status, _, body := loggedResponse(tt.text)
		if status != tt.status || body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", name, status, body, tt.status, tt.body)
		}
	}
}

// TestServiceIn asserts that an endpoint in the text names the service, unless there
// are two.
func TestServiceIn(t *testing.T) {
	for text, want := range map[string]webpush.Service{
		"Client error: `POST https://fcm.googleapis.com/wp/abc` resulted in a `410 Gone` response":         webpush.FCM,
		"WebPush::ExpiredSubscription: host: updates.push.services.mozilla.com, #<Net::HTTPGone 410 Gone>": webpush.Mozilla,
		"endpoint: 'https://web.push.apple.com/QAbc', status: 410":                                         webpush.Apple,
		"https://web.push.apple.com/QAbc https://fcm.googleapis.com/wp/abc failed with status 410":         "",
		"see https://example.com/docs": "",
	} {
		if got := serviceIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzLoggedResponse: a response has a status of HTTP, or there is none.
func FuzzLoggedResponse(f *testing.F) {
	f.Add(`{"statusCode":410,"body":"x"}`)
	f.Add(`%Finch.Response{status: 403, body: "no"}`)
	f.Add("Push failed: 404 Not Found\nResponse body:x")
	f.Fuzz(func(t *testing.T, text string) {
		status, _, body := loggedResponse(text)
		if status < 0 || status > 999 || status == 0 && body != "" || len(body) > 3*len(text)+10 {
			t.Errorf("%d, %d bytes of body, of %d", status, len(body), len(text))
		}
	})
}
