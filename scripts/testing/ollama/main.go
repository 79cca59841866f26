// Pushes and pulls with Ollama's own library for models of many tensors, and signs in as its server does.
//
//	ollama [-parts] push FOLDER http://HOST/NAMESPACE/MODEL:TAG
//	ollama pull http://HOST/NAMESPACE/MODEL:TAG FOLDER
//
// A folder has a manifest, `manifest.json`, and the blobs that it names, `sha256-<hex>` each. The key is
// $HOME/.ollama/id_ed25519.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ollama/ollama/auth"
	"github.com/ollama/ollama/x/transfer"
)

// Of what is sent without a body, in hexadecimal digits.
const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var parts = flag.Bool("parts", false, "ask for no URL of a whole blob, as for one that is too large for that")

// model is where one is, and what it is made of.
type model struct {
	base, repository, tag string
}

type descriptor struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

type manifest struct {
	Config descriptor   `json:"config"`
	Layers []descriptor `json:"layers"`
}

func main() {
	flag.Parse()
	arguments := flag.Args()
	var err error
	switch {
	case len(arguments) == 3 && arguments[0] == "push":
		err = push(arguments[1], parse(arguments[2]))
	case len(arguments) == 3 && arguments[0] == "pull":
		err = pull(parse(arguments[1]), arguments[2])
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func parse(reference string) model {
	scheme, rest, _ := strings.Cut(reference, "://")
	host, name, _ := strings.Cut(rest, "/")
	repository, tag, _ := strings.Cut(name, ":")
	return model{base: scheme + "://" + host, repository: repository, tag: tag}
}

func blobs(text []byte) ([]transfer.Blob, error) {
	var parsed manifest
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	var blobs []transfer.Blob
	for _, layer := range append(parsed.Layers, parsed.Config) {
		blobs = append(blobs, transfer.Blob{Digest: layer.Digest, Size: layer.Size})
	}
	return blobs, nil
}

func push(folder string, to model) error {
	text, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err != nil {
		return err
	}
	blobs, err := blobs(text)
	if err != nil {
		return err
	}
	return transfer.Upload(context.Background(), transfer.UploadOptions{
		Blobs: blobs, BaseURL: to.base, SrcDir: folder, Repository: to.repository, GetToken: token,
		Manifest: text, ManifestRef: to.tag, Client: client(),
	})
}

// The library's own where nothing is to be left out.
func client() *http.Client {
	if !*parts {
		return nil
	}
	stop := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: withoutWhole{}, CheckRedirect: stop}
}

type withoutWhole struct{}

func (withoutWhole) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPost {
		request = request.Clone(request.Context())
		request.Header.Del("X-Redirect-Uploads")
	}
	return http.DefaultTransport.RoundTrip(request)
}

func pull(from model, folder string) error {
	text, err := readManifest(from)
	if err != nil {
		return err
	}
	blobs, err := blobs(text)
	if err != nil {
		return err
	}
	if err := transfer.Download(context.Background(), transfer.DownloadOptions{
		Blobs: blobs, BaseURL: from.base, DestDir: folder, Repository: from.repository,
		GetToken: token,
	}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "manifest.json"), text, 0o644)
}

func readManifest(from model) ([]byte, error) {
	bearer := ""
	for range 2 {
		request, err := http.NewRequest(http.MethodGet, from.base+"/v2/"+from.repository+"/manifests/"+from.tag, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
		if bearer != "" {
			request.Header.Set("Authorization", "Bearer "+bearer)
		}
		text, response, err := do(request)
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusOK:
			return text, nil
		case response.StatusCode != http.StatusUnauthorized || bearer != "":
			return nil, fmt.Errorf("%s: %s", response.Status, text)
		}
		if bearer, err = token(context.Background(), challenge(response.Header.Get("WWW-Authenticate"))); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("a new token is not taken")
}

func challenge(header string) transfer.AuthChallenge {
	value := func(key string) string {
		_, rest, _ := strings.Cut(header, key+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	return transfer.AuthChallenge{Realm: value("realm"), Service: value("service"), Scope: value("scope")}
}

// As server/auth.go asks for one.
func token(ctx context.Context, challenge transfer.AuthChallenge) (string, error) {
	realm, err := url.Parse(challenge.Realm)
	if err != nil {
		return "", err
	}
	nonce, err := auth.NewNonce(rand.Reader, 16)
	if err != nil {
		return "", err
	}
	query := realm.Query()
	query.Add("service", challenge.Service)
	for _, scope := range strings.Split(challenge.Scope, " ") {
		query.Add("scope", scope)
	}
	query.Add("ts", strconv.FormatInt(time.Now().Unix(), 10))
	query.Add("nonce", nonce)
	realm.RawQuery = query.Encode()
	signed := "GET," + realm.String() + "," + base64.StdEncoding.EncodeToString([]byte(nothing))
	authorization, err := auth.Sign(ctx, []byte(signed))
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", authorization)
	text, response, err := do(request)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, text)
	}
	var answer struct {
		Token string `json:"token"`
	}
	err = json.Unmarshal(text, &answer)
	return answer.Token, err
}

func do(request *http.Request) ([]byte, *http.Response, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return text, response, err
}
