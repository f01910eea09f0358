package useragent

import (
	"context"
	"net"
)

// SetDial makes the connections of Chromium's channel.
func (o *Options) SetDial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	o.dial = dial
}

// Ended removes a subscription as [Subscription.Unsubscribe] does after the push
// service has ended it.
func (d *Device) Ended(s *Subscription) { d.roster.remove(s) }
