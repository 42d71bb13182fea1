package main

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/proxy"
)

// farAway is a fleet as it is reached through proxies that add to every round trip, half of it each way. The proxies
// keep the order and do not limit the rate; close ends them.
func farAway(f *fleet, roundTrip time.Duration) (far *fleet, closeAll func(), err error) {
	var proxies []*proxy.Proxy
	closeAll = func() {
		for _, p := range proxies {
			p.Close()
		}
	}
	far = new(fleet)
	for _, s := range f.servers {
		p, err := proxy.New(s.network, s.addr)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		proxies = append(proxies, p)
		p.Delay(proxy.Requests, roundTrip/2)
		p.Delay(proxy.Replies, roundTrip/2)
		far.servers = append(far.servers, &server{network: "tcp", addr: p.Addr()})
	}
	return far, closeAll, nil
}
