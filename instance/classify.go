package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

// verdict turns the error of a command into a vote: what the server refused is
// Refused in the server's own words, what the network did is TimedOut or
// Unreachable. err is not nil.
func (i *Instance) verdict(err error) Vote {
	v := Vote{Instance: i.name, Err: i.redact(err)}
	if isProtocolError(err) {
		err = errNotRedis
		v.Err = err
	}
	if errors.Is(err, errReplica) && (i.managed || i.home != nil) {
		err = errFailover
		if i.home != nil {
			err = errDemoted
		}
		v.Err = err
	}
	switch {
	case errors.Is(err, errSameServer), errors.Is(err, errSplit), errors.Is(err, errNotRedis), errors.Is(err, errReplica),
		errors.Is(err, errFailover), errors.Is(err, errDemoted), errors.Is(err, errNoMaster):
		v.Kind = Refused
	case isServerError(err):
		v.Kind = Refused
		v.Err = explained(v.Err)
		if _, ok := readReferral([]byte(v.Err.Error())); ok && i.voter() == i && i.cluster == nil {
			v.Err = fmt.Errorf("%w (%w)", v.Err, errClusterNode)
		}
	case isTimeout(err):
		v.Kind = TimedOut
		v.Err = errTimeout
	default:
		v.Kind = Unreachable
	}
	return v
}

var (
	errTimeout    = errors.New("no answer in time")
	errNotDialed  = errors.New("the connection is not open")
	errClosed     = errors.New("instance closed")
	errNotRedis   = errors.New("what answers there does not speak the Redis protocol")
	errUnasked    = fmt.Errorf("%w: it says what nobody has asked for", errNotRedis)
	errSameServer = errors.New("same server")
	errReplica    = errors.New("READONLY: the server is a replica, and only a master can vote")
	errDemoted    = errors.New("the node is a replica now: a failover is under way")

	errClusterNode = errors.New("it is a node of a cluster: write redis-cluster://…")
)

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout()
}

// isServerError reports whether the server itself replied with an error, so
// that the connection is in order.
func isServerError(err error) bool {
	var server redis.Error
	return errors.As(err, &server) && !errors.Is(err, redis.Nil) // go-redis wraps its nil in what is no reply at all
}

// isProtocolError recognises go-redis's complaint about bytes that are not
// RESP. Its text quotes those bytes, which may be anything, our own password
// echoed back among them: it is never shown.
func isProtocolError(err error) bool {
	text := err.Error()
	return strings.Contains(text, "can't parse") ||
		strings.Contains(text, "invalid reply") ||
		strings.Contains(text, "unexpected response")
}

// IsRefusal reports whether an instance, or its server, refuses for a reason that
// waiting does not mend: a wrong password, a missing permission, a key of another type,
// not Redis, sentinels that know no such master. Somebody must mend it; then the same may
// be tried again.
func IsRefusal(err error) bool {
	if r := refusalOf(err); r != nil {
		return r.class == lasting
	}
	for _, fault := range lastingFaults {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// IsSameServer reports whether an instance is refused because another one of the
// same engine is the same server.
func IsSameServer(err error) bool { return errors.Is(err, errSameServer) }
