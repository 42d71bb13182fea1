package keeper

import "math"

// Look is an entry as Some sees it.
type Look struct {
	*Entry
	Renewals int // that were confirmed, up to maxRenewals
}

// maxRenewals is as far as the renewals of a lease are counted.
const maxRenewals = math.MaxUint16

// Len returns how many leases are in care. It costs next to nothing.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.queue.size
}

// Some returns n of the leases in care, in no order, or all if there are fewer. n must not be negative.
func (k *Keeper) Some(n int) []Look {
	k.mu.Lock()
	defer k.mu.Unlock()
	n = min(n, k.queue.size)
	some := make([]Look, 0, n)
	for e := range k.queue.all {
		if len(some) == n {
			break
		}
		some = append(some, Look{e, int(e.renewals)})
	}
	return some
}
