// Pushes and pulls with containerd's own library, as its daemon, ctr and nerdctl do, and needs neither a daemon nor root.
// It is built with each version of the library that scripts/testing/clients.py names.
//
//	containerd [flags] push LAYOUT REFERENCE
//	containerd [flags] pull REFERENCE LAYOUT
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// What the daemon's transfer service has where its configuration says nothing (plugins/transfer/plugin.go).
const defaultConcurrency = 3

var (
	userAgent   = flag.String("user-agent", "", "instead of the library's own")
	user        = flag.String("user", "", "NAME:PASSWORD")
	verbose     = flag.Bool("verbose", false, "log every request")
	concurrency = flag.Int("concurrency", defaultConcurrency, "requests at a time")
	chunk       = flag.Int("chunk", 0, "bytes of each range that a layer is pulled in, several at a time; 0 pulls it whole")
)

func main() {
	flag.Parse()
	if *verbose {
		_ = log.SetLevel("debug")
	}
	ctx, arguments := context.Background(), flag.Args()
	var err error
	switch {
	case len(arguments) == 3 && arguments[0] == "push":
		err = push(ctx, arguments[1], arguments[2])
	case len(arguments) == 3 && arguments[0] == "pull":
		err = pull(ctx, arguments[1], arguments[2])
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func resolver(ctx context.Context) remotes.Resolver {
	header := http.Header{}
	if *userAgent != "" {
		header.Set("User-Agent", *userAgent)
	}
	options := config.HostOptions{DefaultScheme: "http"}
	if name, password, isGiven := strings.Cut(*user, ":"); isGiven {
		options.Credentials = func(string) (string, string, error) { return name, password, nil }
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, options), Headers: header})
}

// A layout's folder is a content store as it is.
func open(layout string) (content.Store, error) {
	return local.NewStore(layout)
}

// What the store keeps unfinished blobs in is no part of a layout; one with a blob in it stays, for the next pull.
func tidy(layout string) {
	_ = os.Remove(filepath.Join(layout, "ingest"))
}

func push(ctx context.Context, layout, reference string) error {
	text, err := os.ReadFile(filepath.Join(layout, ocispec.ImageIndexFile))
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 {
		return errors.New("not a layout of one image")
	}
	root := index.Manifests[0]
	// As the daemon has it in its image store: the layout's own names are not part of what is pushed.
	root.Annotations = nil
	store, err := open(layout)
	if err != nil {
		return err
	}
	defer tidy(layout)
	// As client.Push does: of an index and its images only the index gets the tag.
	pusher, err := resolver(ctx).Pusher(ctx, reference+"@"+root.Digest.String())
	if err != nil {
		return err
	}
	limiter := semaphore.NewWeighted(int64(*concurrency))
	if err := remotes.PushContent(ctx, pusher, root, store, limiter, platforms.All, nil); err != nil {
		return err
	}
	fmt.Println(root.Digest)
	return nil
}

// As core/transfer/local/pull.go does, without what comes after: nothing is unpacked.
func pull(ctx context.Context, reference, layout string) error {
	registry := resolver(ctx)
	if registry, ok := registry.(remotes.ResolverWithOptions); ok {
		registry.SetOptions(
			transfer.WithConcurrentLayerFetchBuffer(*chunk),
			transfer.WithMaxConcurrentDownloads(*concurrency),
			transfer.WithDownloadLimiter(semaphore.NewWeighted(int64(*concurrency))),
		)
	}
	name, root, err := registry.Resolve(ctx, reference)
	if err != nil {
		return err
	}
	fetcher, err := registry.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	store, err := open(layout)
	if err != nil {
		return err
	}
	defer tidy(layout)
	handlers := images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store))
	if err := images.Dispatch(ctx, handlers, nil, root); err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{root}}
	if err := write(layout, ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	if err := write(layout, ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return err
	}
	fmt.Println(root.Digest)
	return nil
}

func write(layout, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(layout, name), text, 0o644)
}
