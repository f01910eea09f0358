package mcs

import "slices"

// Heartbeat is a HeartbeatPing or a HeartbeatAck.
type Heartbeat struct {
	// LastStreamIDReceived acknowledges all frames of the other side up to this
	// number. The first frame of a connection has the number 1.
	LastStreamIDReceived uint32
}

// Append appends the message to b.
func (m Heartbeat) Append(b []byte) []byte {
	return appendSome(b, 2, uint64(m.LastStreamIDReceived))
}

// ParseHeartbeat reads a HeartbeatPing or a HeartbeatAck.
func ParseHeartbeat(b []byte) (m Heartbeat, err error) {
	err = read(b, target{2, &m.LastStreamIDReceived})
	return m, err
}

// LoginRequest is the first frame of a client.
type LoginRequest struct {
	ID                    string // chrome- and a version
	Domain                string
	User, Resource        string // the android id, decimal
	AuthToken             string // the security token, decimal
	DeviceID              string // android- and the android id, hexadecimal
	HeartbeatInterval     uint64 // the interval that the client requests, in milliseconds, or 0
	ReceivedPersistentIDs []string
}

// Append appends the message to b.
func (m LoginRequest) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.ID)
	b = appendBytes(b, 2, m.Domain)
	b = appendBytes(b, 3, m.User)
	b = appendBytes(b, 4, m.Resource)
	b = appendBytes(b, 5, m.AuthToken)
	b = appendText(b, 6, m.DeviceID)
	b = appendBytes(b, 8, pair("new_vc", "1"))
	if m.HeartbeatInterval > 0 {
		b = appendBytes(b, 8, pair("hbping", decimal(m.HeartbeatInterval)))
	}
	for _, id := range m.ReceivedPersistentIDs {
		b = appendBytes(b, 10, id)
	}
	b = appendUint(b, 12, 0) // adaptive_heartbeat
	b = appendUint(b, 14, 1) // use_rmq2
	b = appendUint(b, 16, 2) // auth_service: ANDROID_ID
	return appendUint(b, 17, 1)
}

// ParseLoginRequest reads a LoginRequest.
func ParseLoginRequest(b []byte) (m LoginRequest, err error) {
	setting := func(b []byte) error {
		name, value, err := parsePair(b)
		if name == "hbping" {
			m.HeartbeatInterval = parseDecimal(value)
		}
		return err
	}
	err = read(b, target{1, &m.ID}, target{2, &m.Domain}, target{3, &m.User}, target{4, &m.Resource}, target{5, &m.AuthToken},
		target{6, &m.DeviceID}, target{8, setting}, target{10, &m.ReceivedPersistentIDs})
	return m, err
}

// LoginResponse is the first frame of a server.
type LoginResponse struct {
	ID                   string
	ErrorCode            int32 // not 0 if the login failed
	ErrorMessage         string
	LastStreamIDReceived uint32
	HeartbeatInterval    uint64 // milliseconds, or 0 if the client decides
	ServerTimestamp      uint64 // milliseconds since 1970
}

// Append appends the message to b.
func (m LoginResponse) Append(b []byte) []byte {
	b = appendBytes(b, 1, m.ID)
	if m.ErrorCode != 0 {
		info := appendUint(nil, 1, uint64(int64(m.ErrorCode)))
		b = appendBytes(b, 3, appendText(info, 2, m.ErrorMessage))
	}
	b = appendSome(b, 6, uint64(m.LastStreamIDReceived))
	if m.HeartbeatInterval > 0 {
		b = appendBytes(b, 7, appendUint(nil, 3, m.HeartbeatInterval))
	}
	return appendSome(b, 8, m.ServerTimestamp)
}

// ParseLoginResponse reads a LoginResponse.
func ParseLoginResponse(b []byte) (m LoginResponse, err error) {
	failure := func(b []byte) error { return read(b, target{1, &m.ErrorCode}, target{2, &m.ErrorMessage}) }
	heartbeat := func(b []byte) error { return read(b, target{3, &m.HeartbeatInterval}) }
	err = read(b, target{1, &m.ID}, target{3, failure}, target{6, &m.LastStreamIDReceived}, target{7, heartbeat}, target{8, &m.ServerTimestamp})
	return m, err
}

// The extensions of an [Iq].
const (
	SelectiveAck = 12
	StreamAck    = 13
)

// Iq is an IqStanza. Both extensions in use acknowledge messages: StreamAck with
// LastStreamIDReceived, SelectiveAck with persistent IDs.
type Iq struct {
	Extension            int
	IDs                  []string // SelectiveAck only
	LastStreamIDReceived uint32
}

// Append appends the message to b.
func (m Iq) Append(b []byte) []byte {
	b = appendUint(b, 2, 1) // SET
	b = appendBytes(b, 3, "")
	if m.Extension != 0 {
		var data []byte
		for _, id := range m.IDs {
			data = appendBytes(data, 1, id)
		}
		b = appendBytes(b, 7, appendBytes(appendUint(nil, 1, uint64(m.Extension)), 2, data))
	}
	return appendSome(b, 10, uint64(m.LastStreamIDReceived))
}

// ParseIq reads an IqStanza.
func ParseIq(b []byte) (m Iq, err error) {
	var data []byte
	extension := func(b []byte) error { return read(b, target{1, &m.Extension}, target{2, &data}) }
	err = read(b, target{7, extension}, target{10, &m.LastStreamIDReceived})
	if err == nil && m.Extension == SelectiveAck {
		err = read(data, target{1, &m.IDs})
	}
	return m, err
}

// AppData is a name and a value that a message carries.
type AppData struct{ Key, Value string }

// DataMessage is a DataMessageStanza: one push message.
type DataMessage struct {
	From                 string // the sender: the application server key as it was registered
	Category             string // the registered app
	Token                string // the collapse key
	AppData              []AppData
	PersistentID         string
	LastStreamIDReceived uint32
	TTL                  uint32 // seconds
	Sent                 uint64 // milliseconds since 1970
	RawData              []byte
	ImmediateAck         bool
}

// Value returns the value of the first AppData with the given key.
func (m DataMessage) Value(key string) (string, bool) {
	i := slices.IndexFunc(m.AppData, func(d AppData) bool { return d.Key == key })
	if i < 0 {
		return "", false
	}
	return m.AppData[i].Value, true
}

// Append appends the message to b.
func (m DataMessage) Append(b []byte) []byte {
	b = appendBytes(b, 3, m.From)
	b = appendBytes(b, 5, m.Category)
	b = appendText(b, 6, m.Token)
	for _, d := range m.AppData {
		b = appendBytes(b, 7, pair(d.Key, d.Value))
	}
	b = appendText(b, 9, m.PersistentID)
	b = appendSome(b, 11, uint64(m.LastStreamIDReceived))
	b = appendUint(b, 17, uint64(m.TTL))
	b = appendSome(b, 18, m.Sent)
	b = appendText(b, 21, m.RawData)
	if m.ImmediateAck {
		b = appendUint(b, 24, 1)
	}
	return b
}

// ParseDataMessage reads a DataMessageStanza. RawData shares memory with b.
func ParseDataMessage(b []byte) (m DataMessage, err error) {
	data := func(b []byte) error {
		name, value, err := parsePair(b)
		m.AppData = append(m.AppData, AppData{name, value})
		return err
	}
	err = read(b, target{3, &m.From}, target{5, &m.Category}, target{6, &m.Token}, target{7, data}, target{9, &m.PersistentID},
		target{11, &m.LastStreamIDReceived}, target{17, &m.TTL}, target{18, &m.Sent}, target{21, &m.RawData}, target{24, &m.ImmediateAck})
	return m, err
}

// StreamError is a StreamErrorStanza: the other side closes the connection.
type StreamError struct{ Type, Text string }

// Append appends the message to b.
func (m StreamError) Append(b []byte) []byte {
	return appendText(appendBytes(b, 1, m.Type), 2, m.Text)
}

// ParseStreamError reads a StreamErrorStanza.
func ParseStreamError(b []byte) (m StreamError, err error) {
	err = read(b, target{1, &m.Type}, target{2, &m.Text})
	return m, err
}
