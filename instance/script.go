package instance

import (
	"embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// lua is one script: constant text, names and values travel as KEYS and ARGV only.
type lua struct {
	source string
	sha    string // what EVALSHA calls it
}

var (
	acquireScript       = script("acquire")
	acquireFencedScript = script("acquire_fenced")
	releaseScript       = script("release")
	releaseManyScript   = script("release_many")
	releaseFencedScript = script("release_fenced")
	renewScript         = script("renew")
	renewFencedScript   = script("renew_fenced")
	adoptScript         = script("adopt")
	inspectScript       = script("inspect")

	scripts = []lua{
		acquireScript, acquireFencedScript,
		releaseScript, releaseManyScript, releaseFencedScript,
		renewScript, renewFencedScript,
		adoptScript, inspectScript,
	}
)

func script(name string) lua {
	source, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("instance: script %s is not embedded: %v", name, err)) // cannot happen: the build embeds it
	}
	return lua{source: string(source), sha: redis.NewScript(string(source)).Hash()}
}
