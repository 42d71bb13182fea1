package fault

import (
	"errors"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Class says what becomes of a server's refusal when we wait.
type Class uint8

const (
	Passes Class = iota // it may end by itself, or the operator of the server ends it
	Lasts               // it stays until somebody mends the server, the account or the request
	Ours                // we mend it: by loading the scripts, or by a new connection
)

// Refusal is one kind of error that a server replies with.
type Refusal struct {
	Says  string // the word that it begins with, or, with ERR, what else is in it
	Class Class
	Mend  string // what it means, and what mends it
}

const (
	noDatabase = "there is no database of that number; a cluster has others than 0 only where cluster-databases permits them (Valkey 9)"
	noKey      = "the user may not use that name: the rule's ~PATTERN must cover the KeyPrefix and all names"
	wrongType  = "something else is stored under that name: use another name, or a KeyPrefix of your own"
)

// Refusals are the errors that what we send can meet, as the sources of Redis 5 to 8 and
// Valkey 7.2 to 9 have them (server.c: createSharedObjects and processCommand; script.c,
// acl.c, db.c, networking.c, cluster.c). An error that is not here is taken to pass: a
// proxy's, say.
//
// Not here are those that nothing of ours can meet: of transactions (EXECABORT), blocking
// commands (UNBLOCKED), failovers by hand (INPROG, NOGOODSLAVE), scripts that are killed
// (NOTBUSY, UNKILLABLE), MIGRATE (IOERR, BUSYKEY), and Valkey's REDIRECT, which must be asked for.
var Refusals = []Refusal{
	{"NOSCRIPT", Ours, "it has forgotten the lock scripts; they are loaded again"},
	{"READONLY", Ours, "it is a replica, and only a master can vote: wait for the failover to end, or name the master"},

	{"LOADING", Passes, "it is reading its data from disk; wait until it has"},
	{"BUSY", Passes, "somebody's script or module holds it up: SCRIPT KILL ends one that has written nothing"},
	{"MASTERDOWN", Passes, "it is a replica that has lost its master"},
	{"CLUSTERDOWN", Passes, "the cluster does not serve the slot, or does not serve at all; see CLUSTER INFO"},
	{"TRYAGAIN", Passes, "the slot is being moved"},
	{"MOVED", Passes, "another node of the cluster serves the slot"},
	{"ASK", Passes, "the slot is being moved"},
	{"OOM", Passes, "its memory is full: give it more, or keep nothing else there"},
	{"MISCONF", Passes, "it cannot write to its disk, and accepts no writes until it can; see its log"},
	{"NOREPLICAS", Passes, "fewer replicas are connected than min-replicas-to-write wants"},
	{"ERR max number of clients", Passes, "it has no room for another connection: raise maxclients, or see which client has so many"},

	{"NOPERM No permissions to access database", Lasts, "the user may not use that database: ACL SETUSER NAME db=N"}, // Valkey 9
	{"NOPERM No permissions to access a key", Lasts, noKey},
	{"NOPERM this user has no permissions to access one of the keys used as arguments", Lasts, noKey}, // Redis 6 and 7.0
	{"NOPERM", Lasts, "the user lacks a permission for the command or the keys; docs/operations.md has the rule that is enough"},
	{"NOAUTH", Lasts, "it wants a password, and none was given: redis://:PASSWORD@HOST, or redis://USER:PASSWORD@HOST"},
	{"WRONGPASS", Lasts, "user name or password is wrong, or the user is disabled"},
	{"DENIED", Lasts, "it is in protected mode, and serves no other machine: set a password, or bind and protected-mode"},
	{"NOPROTO", Lasts, "it does not speak the version of the protocol that was asked for"},
	{"WRONGTYPE", Lasts, wrongType},
	{"ERR Key should be of string type", Lasts, wrongType}, // of DELEX
	{"CROSSSLOT", Lasts, "the keys are in different slots of the cluster"},
	{"ERR unknown command 'sentinel'", Lasts, "it is no Sentinel: write redis://… for a single server"},
	{"ERR unknown command", Lasts, "it lacks a command, or has it under another name (rename-command)"},
	{"ERR Unknown Redis command", Lasts, "it lacks a command that the lock scripts call, or has it under another name (rename-command)"},
	{"ERR Unknown command called from script", Lasts, "it lacks a command that the lock scripts call, or has it under another name (rename-command)"}, // Valkey 9
	{"ERR ACL failure in script", Lasts, "the user lacks a permission that the lock scripts need; docs/operations.md has the rule that is enough"},
	{"ERR The user executing the script can't", Lasts, "the user lacks a permission that the lock scripts need; docs/operations.md has the rule that is enough"},
	{"ERR DB index is out of range", Lasts, noDatabase},
	{"ERR invalid DB index", Lasts, noDatabase},
	{"ERR SELECT is not allowed in cluster mode", Lasts, noDatabase},
	{"ERR AUTH <password> called without any password configured", Lasts, "it has no password: leave it out"},
	{"ERR Client sent AUTH, but no password is set", Lasts, "it has no password: leave it out"},
	{"ERR This instance has cluster support disabled", Lasts, "it is no node of a cluster: write redis://…"},
	{"ERR invalid expire time", Lasts, "the TTL is more than it can count"},
}

// scriptCaller is what Redis before 7 puts before the error of a command in a script.
var scriptCaller = regexp.MustCompile(`^ERR Error (?:running script|compiling script) .*@user_script: ?\d+: -?`)

// RefusalOf finds the error that a server replied with in the table; nil: it is not there,
// or no server's.
func RefusalOf(err error) *Refusal {
	var known reworded
	var fault *lastingError // ours, whatever a server has said besides
	var server redis.Error
	switch {
	case errors.As(err, &fault), !errors.As(err, &server):
		return nil
	case errors.As(err, &known):
		return known.kind
	}
	text := scriptCaller.ReplaceAllString(server.Error(), "")
	for k := range Refusals {
		r := &Refusals[k]
		if text == r.Says || strings.HasPrefix(text, r.Says+" ") || strings.HasPrefix(r.Says, "ERR ") && strings.HasPrefix(text, r.Says) {
			return r
		}
	}
	return nil
}

// IsNoDatabase reports whether a server does not have the database that was asked for.
func IsNoDatabase(err error) bool {
	r := RefusalOf(err)
	return r != nil && r.Mend == noDatabase
}

// IsNoKey reports whether a user may not use a key, whatever the command.
func IsNoKey(err error) bool {
	r := RefusalOf(err)
	return r != nil && r.Mend == noKey
}

// IsWrongType reports whether a server found something under a key that is no string.
func IsWrongType(err error) bool {
	r := RefusalOf(err)
	return r != nil && r.Mend == wrongType
}

// Advice says in a few words what a server's error means for a lock and what mends it;
// "" when that is not known.
func Advice(err error) string {
	if r := RefusalOf(err); r != nil {
		return r.Mend
	}
	return ""
}
