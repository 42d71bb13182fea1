package instance

import (
	"slices"
	"time"
)

// payDebts makes good the releases that could not be confirmed, before anything
// else is sent, and then opens the mailbox. What the server refuses even now
// stays owed for later.
func (i *Instance) payDebts() error {
	var refused []debt
	for {
		owed := i.mailbox.settleDebts()
		if len(owed) == 0 {
			i.mailbox.oweAgain(refused)
			return nil
		}
		unpaid, err := i.pay(owed)
		refused = append(refused, unpaid...)
		if err != nil {
			i.mailbox.oweAgain(refused)
			return err
		}
	}
}

// payInPassing makes good what an instance owes that has been up all the time:
// releases that found the mailbox full, or that the server refused.
func (i *Instance) payInPassing() {
	if i.link == nil || time.Since(i.lastPaid) < payEvery {
		return
	}
	i.lastPaid = time.Now()
	if err := i.payDebts(); err != nil {
		i.fail(nil, err)
	}
}

// pay sends the releases that are still worth sending, and returns those that
// were not carried out: refused by the server, or cut off with the connection.
func (i *Instance) pay(owed []debt) (unpaid []debt, err error) {
	now := time.Now()
	s := sending{instance: i, now: now}
	owed = slices.DeleteFunc(owed, func(d debt) bool { return !now.Before(d.until) })
	for len(owed) > 0 {
		n := min(len(owed), i.cfg.Batch)
		i.out = i.out[:0]
		for _, d := range owed[:n] {
			r := Release{Key: d.key, Token: d.token, Fencing: d.fencing}
			i.out, _ = r.queue(&s, i.out)
		}
		if err := i.link.send(i.out, time.Now().Add(i.cfg.Timeout)); err != nil {
			return append(unpaid, owed...), err
		}
		for _, d := range owed[:n] {
			if err := i.link.next(&i.reply); err != nil {
				return append(unpaid, owed...), err
			}
			if i.reply.kind == errorReply && !i.referDebt(d, &i.reply) {
				unpaid = append(unpaid, d)
			}
		}
		owed = owed[n:]
	}
	return unpaid, nil
}
