package debughttp

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// processView says whose page it is.
type processView struct {
	Owner    string    `json:"owner,omitempty"` // of the engine
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Program  string    `json:"program"` // the main package's path
	Version  string    `json:"version"` // of its module
	Holdfast string    `json:"holdfast"`
	Go       string    `json:"go"`
}

const module = "github.com/holdfast-go/holdfast"

// process is what does not change.
var process = identify()

func identify() processView {
	p := processView{PID: os.Getpid(), Started: time.Now(), Go: runtime.Version()}
	p.Host, _ = os.Hostname()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return p
	}
	p.Program, p.Version = info.Path, info.Main.Version
	if info.Main.Path == module {
		p.Holdfast = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			p.Holdfast = dep.Version
		}
	}
	return p
}
