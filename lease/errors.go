package lease

import (
	"errors"
	"fmt"
)

// Why a lease ended. Each is found by errors.Is in what Lease.Err,
// Lease.Release, Lease.Extend and the cause of Lease.Context return.
var (
	// ErrReleased: the holder released the lease.
	ErrReleased = errors.New("lease released")

	// ErrClosed: the engine was closed, which released the lease.
	ErrClosed = errors.New("engine closed")

	// ErrDetached: the holder let go of the lease without releasing it, by
	// Lease.Detach. The resource stays locked, to be adopted, until the TTL
	// is over. That is no loss: it is not ErrLost.
	ErrDetached = errors.New("lease detached")

	// ErrLost: the lease ended although its holder did not want that. ErrExpired,
	// ErrGone, ErrStolen and ErrMaxHold are ErrLost too.
	ErrLost = errors.New("lease lost")

	// ErrExpired: the validity ran out before a renewal was confirmed.
	ErrExpired = fmt.Errorf("%w: expired", ErrLost)

	// ErrGone: a quorum of the instances answered that the key, or one of the keys of several
	// resources, is not there any more, although the validity had not run out. So it was deleted, by a forced
	// release, by hand or by FLUSHALL, it was evicted, the instances have lost their
	// memory, or their clocks were stepped.
	ErrGone = fmt.Errorf("%w: its keys are gone", ErrLost)

	// ErrStolen: a quorum of the instances answered that a key of the lease is not
	// ours, and at least one of them has another holder under that name, or
	// something that is no lock. The others may have nothing there.
	ErrStolen = fmt.Errorf("%w: held by another", ErrLost)

	// errUnmade is what a Lease says that no engine has granted.
	errUnmade = fmt.Errorf("%w: it has never been held", ErrExpired)

	// ErrMaxHold: the lease reached the longest time it may be held.
	ErrMaxHold = fmt.Errorf("%w: held for the longest time allowed", ErrLost)
)
