package instance

import (
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// classify turns the error of a command into a vote: what the server refused is
// Refused in the server's own words, what the network did is TimedOut or
// Unreachable. err is not nil.
func (i *Instance) classify(err error) Vote {
	v := Vote{Instance: i.name, Err: i.secrets.Redact(err)}
	if fault.IsProtocolError(err) {
		err = resp.ErrNotRedis
		v.Err = err
	}
	if errors.Is(err, reach.ErrReplica) {
		if why := i.role.whyReplica(); why != reach.ErrReplica { // the bare value
			err, v.Err = why, why
		}
	}
	switch {
	case errors.Is(err, errSameServer), errors.Is(err, reach.ErrSplit), errors.Is(err, resp.ErrNotRedis), errors.Is(err, reach.ErrReplica),
		errors.Is(err, reach.ErrFailover), errors.Is(err, errDemoted), errors.Is(err, reach.ErrNoMaster):
		v.Kind = Refused
	case fault.IsServerError(err):
		v.Kind = Refused
		v.Err = scripts.Explained(v.Err)
		if i.role.misnamed([]byte(v.Err.Error())) {
			v.Err = fmt.Errorf("%w (%w)", v.Err, errClusterNode)
		}
	case fault.IsTimeout(err):
		v.Kind = TimedOut
		v.Err = fault.ErrTimeout
	default:
		v.Kind = Unreachable
	}
	return v
}

var (
	errClosed     = errors.New("instance closed")
	errUnasked    = fmt.Errorf("%w: it says what nobody has asked for", resp.ErrNotRedis)
	errSameServer = fault.NewLasting("the same Redis process")
	errDemoted    = errors.New("the node is a replica now: a failover is under way")
)

// IsRefusal reports whether an instance, or its server, refuses for a reason that
// waiting does not mend: a wrong password, a missing permission, a key of another type,
// not Redis, sentinels that know no such master. Somebody must mend it; then the same may
// be tried again.
func IsRefusal(err error) bool { return fault.IsLasting(err) }

// IsSameServer reports whether an instance is refused because another one of the
// same engine is the same server.
func IsSameServer(err error) bool { return errors.Is(err, errSameServer) }

// Advice says in a few words what a server's error means for a lock and what mends it;
// "" when that is not known.
func Advice(err error) string { return fault.Advice(err) }
