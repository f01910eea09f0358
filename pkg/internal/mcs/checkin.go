package mcs

import "strconv"

// CheckinRequest is an AndroidCheckinRequest: a device obtains or confirms its
// credentials.
type CheckinRequest struct {
	AndroidID     uint64 // 0 for a new device
	SecurityToken uint64
	ChromeVersion string
}

// Append appends the message to b. The other fields have the values of Chromium on
// Linux, stable channel, without settings from an earlier check-in.
func (m CheckinRequest) Append(b []byte) []byte {
	const (
		chromeBrowser = 3
		linux         = 3
		stable        = 1
		noSettings    = "1-da39a3ee5e6b4b0d3255bfef95601890afd80709"
	)
	b = appendUint(b, 2, m.AndroidID)
	b = appendBytes(b, 3, noSettings)
	build := appendUint(nil, 1, linux)
	build = appendText(build, 2, m.ChromeVersion)
	build = appendUint(build, 3, stable)
	b = appendBytes(b, 4, appendBytes(appendUint(nil, 12, chromeBrowser), 13, build))
	if m.SecurityToken != 0 {
		b = appendFixed64(b, 13, m.SecurityToken)
	}
	b = appendUint(b, 14, 3)
	return appendUint(b, 22, 0)
}

// ParseCheckinRequest reads an AndroidCheckinRequest.
func ParseCheckinRequest(b []byte) (m CheckinRequest, err error) {
	build := func(b []byte) error { return read(b, target{2, &m.ChromeVersion}) }
	checkin := func(b []byte) error { return read(b, target{13, build}) }
	err = read(b, target{2, &m.AndroidID}, target{4, checkin}, target{13, &m.SecurityToken})
	return m, err
}

// CheckinResponse is an AndroidCheckinResponse. In a valid one, neither credential
// is zero.
type CheckinResponse struct {
	AndroidID     uint64
	SecurityToken uint64
	TimeMsec      uint64 // milliseconds since 1970
}

// Append appends the message to b.
func (m CheckinResponse) Append(b []byte) []byte {
	b = appendUint(b, 1, 1) // stats_ok
	b = appendSome(b, 3, m.TimeMsec)
	b = appendFixed64(b, 7, m.AndroidID)
	return appendFixed64(b, 8, m.SecurityToken)
}

// ParseCheckinResponse reads an AndroidCheckinResponse.
func ParseCheckinResponse(b []byte) (m CheckinResponse, err error) {
	err = read(b, target{3, &m.TimeMsec}, target{7, &m.AndroidID}, target{8, &m.SecurityToken})
	return m, err
}

// pair returns a message with a name in field 1 and a value in field 2, the form of
// settings and app data.
func pair(name, value string) []byte { return appendBytes(appendBytes(nil, 1, name), 2, value) }

func parsePair(b []byte) (name, value string, err error) {
	err = read(b, target{1, &name}, target{2, &value})
	return name, value, err
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// parseDecimal returns 0 for anything that is not a number.
func parseDecimal(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
