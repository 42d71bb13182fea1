package instance

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// class says what becomes of a server's refusal when we wait.
type class uint8

const (
	passing class = iota // it may end by itself, or somebody ends it who looks after the server
	lasting              // it stays until somebody mends the server, the account or the request
	ours                 // we mend it: by loading the scripts, or by a new connection
)

// refusal is one kind of error that a server replies with.
type refusal struct {
	says  string // the word that it begins with, or, with ERR, what else is in it
	class class
	mend  string // what it means, and what mends it
}

// refusals are the errors that what we send can meet, as the sources of Redis 5 to 8 and
// Valkey 7.2 to 9 have them (server.c: createSharedObjects and processCommand; script.c,
// acl.c, db.c, networking.c, cluster.c). An error that is not here is taken to pass: a
// proxy's, say.
//
// Not here are those that nothing of ours can meet: of transactions (EXECABORT), blocking
// commands (UNBLOCKED), failovers by hand (INPROG, NOGOODSLAVE), scripts that are killed
// (NOTBUSY, UNKILLABLE), MIGRATE (IOERR, BUSYKEY), and Valkey's REDIRECT, which must be asked for.
var refusals = []refusal{
	{"NOSCRIPT", ours, "it has forgotten the lock scripts; they are loaded again"},
	{"READONLY", ours, "it is a replica, and only a master can vote: wait for the failover to end, or name the master"},

	{"LOADING", passing, "it is reading its data from disk; wait until it has"},
	{"BUSY", passing, "somebody's script or module holds it up: SCRIPT KILL ends one that has written nothing"},
	{"MASTERDOWN", passing, "it is a replica that has lost its master"},
	{"CLUSTERDOWN", passing, "the cluster does not serve the slot, or does not serve at all; see CLUSTER INFO"},
	{"TRYAGAIN", passing, "the slot is being moved"},
	{"MOVED", passing, "another node of the cluster serves the slot"},
	{"ASK", passing, "the slot is being moved"},
	{"OOM", passing, "its memory is full: give it more, or keep nothing else there"},
	{"MISCONF", passing, "it cannot write to its disk, and accepts no writes until it can; see its log"},
	{"NOREPLICAS", passing, "fewer replicas are connected than min-replicas-to-write wants"},
	{"ERR max number of clients", passing, "it has no room for another connection: raise maxclients, or see which client has so many"},

	{"NOPERM No permissions to access database", lasting, "the user may not use that database: ACL SETUSER NAME db=N"}, // Valkey 9
	{"NOPERM", lasting, "the user lacks a permission for the command or the keys; docs/operations.md has the rule that is enough"},
	{"NOAUTH", lasting, "it wants a password, and none was given"},
	{"WRONGPASS", lasting, "user name or password is wrong, or the user is disabled"},
	{"DENIED", lasting, "it is in protected mode, and serves no other machine: set a password, or bind and protected-mode"},
	{"NOPROTO", lasting, "it does not speak the version of the protocol that was asked for"},
	{"WRONGTYPE", lasting, "something else is stored under that name: use another name, or a KeyPrefix of your own"},
	{"CROSSSLOT", lasting, "the keys are in different slots of the cluster"},
	{"ERR unknown command", lasting, "it lacks a command, or has it under another name (rename-command)"},
	{"ERR Unknown Redis command", lasting, "it lacks a command that the lock scripts call, or has it under another name (rename-command)"},
	{"ERR ACL failure in script", lasting, "the user lacks a permission that the lock scripts need; docs/operations.md has the rule that is enough"},
	{"ERR The user executing the script can't", lasting, "the user lacks a permission that the lock scripts need; docs/operations.md has the rule that is enough"},
	{"ERR DB index is out of range", lasting, "there is no database of that number"},
	{"ERR invalid DB index", lasting, "there is no database of that number"},
	{"ERR SELECT is not allowed in cluster mode", lasting, "a cluster has only database 0"},
	{"ERR AUTH <password> called without any password configured", lasting, "it has no password: leave it out"},
	{"ERR Client sent AUTH, but no password is set", lasting, "it has no password: leave it out"},
	{"ERR This instance has cluster support disabled", lasting, "it is no node of a cluster: write redis://…"},
	{"ERR invalid expire time", lasting, "the TTL is more than it can count"},
}

// lastingFaults are those that we find ourselves, and that waiting does not mend either.
var lastingFaults = []error{
	errNotRedis, errNoMaster, errSameServer, errSplit, errFenceSlot, errForeign, errClusterNode,
}

// scriptCaller is what Redis before 7 puts before the error of a command in a script.
var scriptCaller = regexp.MustCompile(`^ERR Error (?:running script|compiling script) .*@user_script: ?\d+: -?`)

// refusalOf finds the error that a server replied with in the table; nil: it is not there,
// or no server's.
func refusalOf(err error) *refusal {
	var known redacted
	var server redis.Error
	switch {
	case errors.Is(err, errClusterNode), !errors.As(err, &server):
		return nil
	case errors.As(err, &known):
		return known.kind
	}
	text := scriptCaller.ReplaceAllString(server.Error(), "")
	for k := range refusals {
		r := &refusals[k]
		if text == r.says || strings.HasPrefix(text, r.says+" ") || strings.HasPrefix(r.says, "ERR ") && strings.HasPrefix(text, r.says) {
			return r
		}
	}
	return nil
}

// Advice says in a few words what a server's error means for a lock and what mends it;
// "" when that is not known.
func Advice(err error) string {
	if r := refusalOf(err); r != nil {
		return r.mend
	}
	return ""
}

// complainEvery is how often one kind of refusal by one instance is logged at most.
const complainEvery = time.Minute

// complaints are when each kind of refusal was last logged.
type complaints struct {
	mu   sync.Mutex
	last map[*refusal]time.Time // nil stands for all those that the table does not have
}

// due reports whether that kind is to be logged again.
func (c *complaints) due(r *refusal, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, said := c.last[r]; said && now.Sub(last) < complainEvery {
		return false
	}
	if c.last == nil {
		c.last = make(map[*refusal]time.Time)
	}
	c.last[r] = now
	return true
}

// complain logs that the server refuses, now and then: who waits for a lock meanwhile
// hears nothing until it stops waiting. err is without secrets.
func (i *Instance) complain(err error, now time.Time) {
	if r := refusalOf(err); (r == nil || r.class != ours) && i.complaints.due(r, now) {
		i.log.Warn("the server refuses", "reason", err, "advice", Advice(err))
	}
}
