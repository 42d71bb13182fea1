package instance

import (
	"fmt"
	"log/slog"
	"time"
)

// Config says how to talk to an instance. The zero value works.
type Config struct {
	// Name is what votes, errors and logs call the instance. Default: its
	// address, without user name and password.
	Name string

	// Timeout bounds one round trip, and one attempt to connect. An instance
	// that does not answer for so long is down. Default 500ms; at least 1ms.
	// Choose it well above the slowest healthy answer (a fork for a snapshot
	// can hold a large server up for 100ms) and well below the TTL.
	Timeout time.Duration

	// Mailbox is how many messages may wait; what exceeds it is voted Busy.
	// Releases and renewals may use twice as many. Default 16384; at least 1.
	Mailbox int

	// Batch is how many commands go out in one pipeline at most. Default 512;
	// at least 1.
	Batch int

	// Logger is told when the instance goes up and down. Default: silent.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Timeout == 0 {
		c.Timeout = 500 * time.Millisecond
	}
	if c.Mailbox == 0 {
		c.Mailbox = 16384
	}
	if c.Batch == 0 {
		c.Batch = 512
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Timeout < time.Millisecond:
		return c, fmt.Errorf("instance: Timeout is %v: it must be at least 1ms", c.Timeout)
	case c.Mailbox < 1:
		return c, fmt.Errorf("instance: Mailbox is %d: it must be at least 1", c.Mailbox)
	case c.Batch < 1:
		return c, fmt.Errorf("instance: Batch is %d: it must be at least 1", c.Batch)
	}
	return c, nil
}
