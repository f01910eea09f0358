package useragent

import (
	"context"
	"net"
)

// SetDial makes the connections of Chromium's channel.
func (o *Options) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	o.dial = dial
}
