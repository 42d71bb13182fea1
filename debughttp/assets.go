package debughttp

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
)

//go:embed page.html live.html plot.html page.css page.js
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page.html", "live.html", "plot.html"))

// assets is what is the same in every page. They are part of it, so that the
// handler needs no more than its one address.
type assets struct {
	Style  template.CSS
	Script template.JS
	policy string // nothing else is loaded, or run
}

var static = load()

func load() assets {
	style, script := read("page.css"), read("page.js")
	return assets{template.CSS(style), template.JS(script), fmt.Sprintf(
		"default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		digest(style), digest(script))}
}

func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(text)
}

// digest is how a Content-Security-Policy names what it lets in.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
