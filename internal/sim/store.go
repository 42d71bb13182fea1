package sim

import "time"

// store is what a server remembers and how it answers: all that is behind the
// connections. A server executes one command at a time, but tests look at the
// keys meanwhile.
type store interface {
	session() session // for a new connection
	get(key string) (value string, ok bool)
	expires(key string) (at time.Time, ok bool) // on the bubble's clock; not ok: not there, or never
	set(key, value string, ttl time.Duration)   // for ever if ttl is 0
	del(key string)
	keys() []string
	forget()        // all keys
	forgetScripts() // all scripts
	close()
}

// session is what one connection talks to.
type session interface {
	do(args []string) (reply []byte)
}
