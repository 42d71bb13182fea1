package slots

import (
	"bytes"
	"net"
	"strconv"
	"strings"
)

// Referral is a reply that is no verdict: the message was not carried out, because
// its slot is elsewhere (moved, ask) or on its way (tryAgain), or nowhere (down).
type Referral struct {
	Kind Kind
	Slot uint16
	Addr string // host:port; an empty host is the one that replied
	Text string // in the server's words
}

type Kind uint8

const (
	noReferral Kind = iota
	Moved
	Ask
	TryAgain
	Down
)

// ReadReferral reads an error reply.
func ReadReferral(text []byte) (ref Referral, ok bool) {
	switch {
	case bytes.HasPrefix(text, []byte("MOVED ")):
		ref.Kind = Moved
	case bytes.HasPrefix(text, []byte("ASK ")):
		ref.Kind = Ask
	case bytes.HasPrefix(text, []byte("TRYAGAIN")):
		return Referral{Kind: TryAgain, Text: string(text)}, true
	case bytes.HasPrefix(text, []byte("CLUSTERDOWN")):
		return Referral{Kind: Down, Text: string(text)}, true
	default:
		return ref, false
	}
	ref.Text = string(text)
	fields := strings.Fields(ref.Text)
	if len(fields) < 3 {
		return ref, false
	}
	slot, err := strconv.Atoi(fields[1])
	colon := strings.LastIndexByte(fields[2], ':')
	if err != nil || slot < 0 || slot >= Count || colon < 0 {
		return ref, false
	}
	host, port := strings.Trim(fields[2][:colon], "[]"), fields[2][colon+1:]
	ref.Slot, ref.Addr = uint16(slot), net.JoinHostPort(host, port)
	return ref, true
}

// Neighbour is the address that the node at of names: without a host it is the node's own.
func Neighbour(of, addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(of)
	}
	return net.JoinHostPort(host, port)
}
