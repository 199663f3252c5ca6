#include "daemon/config/configuration_file.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/release/configuration_store.hpp"
#include "daemon/release/render.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class ConfigurationDirectory : public testing::Test {
 protected:
  ConfigurationDirectory() {
    fs::create_directory(path());
    write("manifest.yaml",
          "files:\n  - {template: web.conf.mustache, path: /etc/web/web.conf, mode: \"0640\", validate: \"test -s {{file}}\"}\n"
          "vars: vars.yaml\nschema: schema.yaml\n");
    write("web.conf.mustache", "workers {{workers}}\n");
    write("schema.yaml", "workers: number\nname: text\ndebug: flag\npeers: list\n");
    write("vars.yaml", "all: {workers: 8, debug: true, peers: [a, b]}\nhosts:\n  web1: {workers: 16}\n");
  }
  std::string path() const { return folder_.path() + "/7"; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path() + "/" + name, std::ios::binary) << text; }

  TemporaryDirectory folder_;
};

TEST_F(ConfigurationDirectory, IsReadWhole) {
  auto read = read_configuration(path());
  ASSERT_TRUE(read) << read.error();
  ASSERT_EQ(read->files.size(), 1U);
  EXPECT_EQ(read->files[0].text, "workers {{workers}}\n");
  EXPECT_EQ(read->files[0].mode, "0640");
  EXPECT_EQ(read->files[0].validate, "test -s {{file}}");
  EXPECT_FALSE(read->files[0].secret);
  EXPECT_EQ(std::get<std::string>(read->scopes.all.at("workers").value), "8");
  EXPECT_TRUE(std::get<bool>(read->scopes.all.at("debug").value));
  EXPECT_EQ(std::get<std::string>(read->scopes.hosts.at("web1").at("workers").value), "16");
  EXPECT_EQ(read->contents.size(), 4U);
}

TEST(ExampleConfiguration, IsRenderedAsItIs) {
  auto read = read_configuration(SHIFTD_SOURCE_DIR "/conf/examples/configuration");
  ASSERT_TRUE(read) << read.error();
  auto files = render(*read, {"web", "production", "eqiad", "text", "web1", "10.0.0.1:80"});
  ASSERT_TRUE(files) << files.error();
  ASSERT_EQ(files->size(), 2U);
  EXPECT_THAT(files->at(0).text, HasSubstr("# web on web1\nworker_processes 16;\n"));
  EXPECT_THAT(files->at(0).text, HasSubstr("  upstream app {\n    server 10.2.0.1:9000;\n    server 10.2.0.2:9000;\n  }\n"));
  EXPECT_THAT(files->at(0).text, HasSubstr("  server {\n    listen 443 ssl;\n"));
  EXPECT_TRUE(files->at(1).secret);
  EXPECT_TRUE(render(*read, {"web", "staging", "codfw", "", "web2", ""}));
}

TEST_F(ConfigurationDirectory, SaysWhatIsWrongAndWhere) {
  struct {
    const char* what;
    const char* file;
    const char* text;
    const char* says;
  } const cases[] = {
      {"no files", "manifest.yaml", "vars: vars.yaml\n", "manifest.yaml:1:1: 'files' is missing"},
      {"a misspelt key", "manifest.yaml", "files: [{template: web.conf.mustache, path: /a, moed: \"0600\"}]\n", "moed"},
      {"a template that is not there", "manifest.yaml", "files: [{template: none, path: /a}]\n", "the template 'none' cannot be read"},
      {"a template elsewhere", "manifest.yaml", "files: [{template: ../x, path: /a}]\n", "manifest.yaml:1:"},
      {"a path that is not whole", "manifest.yaml", "files: [{template: web.conf.mustache, path: etc/web}]\n", "must be a whole path"},
      {"a path that climbs", "manifest.yaml", "files: [{template: web.conf.mustache, path: /etc/../web}]\n", "must be a whole path"},
      {"a path for a shell", "manifest.yaml", "files: [{template: web.conf.mustache, path: \"/etc/$(x)\"}]\n", "must be a whole path"},
      {"a path of unknown things", "manifest.yaml", "files: [{template: web.conf.mustache, path: \"/etc/{{rack}}\"}]\n", "{{rack}}"},
      {"a mode that is none", "manifest.yaml", "files: [{template: web.conf.mustache, path: /a, mode: 640}]\n", "four octal digits"},
      {"an owner that is an option", "manifest.yaml", "files: [{template: web.conf.mustache, path: /a, owner: -R}]\n", "must be a user"},
      {"no vars", "manifest.yaml", "files: [{template: web.conf.mustache, path: /a}]\nvars: none.yaml\n", "none.yaml: cannot read"},
      {"a variable of another kind", "vars.yaml", "all: {workers: many}\n",
       "vars.yaml:1:16: all.workers: must be a whole number, as the schema says"},
      {"a variable of no schema", "vars.yaml", "all: {wokers: 8}\n", "the schema has no variable 'wokers'"},
      {"a scope that is none", "vars.yaml", "racks: {a: {workers: 8}}\n", "write 'all', 'environments'"},
      {"a fact", "vars.yaml", "all: {host: web9}\n", "what shiftd knows of a host"},
      {"a kind that is none", "schema.yaml", "workers: integer\n", "'integer' is not possible"},
      {"no YAML", "vars.yaml", "all: {", "vars.yaml:1:"},
  };
  for (const auto& [what, file, text, says] : cases) {
    SCOPED_TRACE(what);
    std::ifstream good(path() + "/" + file);
    const std::string before(std::istreambuf_iterator<char>(good), {});
    write(file, text);
    auto read = read_configuration(path());
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::bad_input);
    EXPECT_THAT(read.error().what, HasSubstr(says));
    write(file, before);
  }
  EXPECT_FALSE(read_configuration(path() + "/nowhere"));
}

TEST_F(ConfigurationDirectory, IsKeptAsItWasStarted) {
  ConfigurationStore store(folder_.path() + "/kept", read_configuration);
  auto digest = store.keep(path());
  ASSERT_TRUE(digest) << digest.error();
  EXPECT_EQ(*store.keep(path()), *digest);
  write("web.conf.mustache", "other {{workers}}\n");
  auto other = store.keep(path());
  ASSERT_TRUE(other) << other.error();
  EXPECT_NE(*other, *digest);

  ConfigurationStore after_a_restart(folder_.path() + "/kept", read_configuration);
  auto kept = after_a_restart.find(*digest);
  ASSERT_TRUE(kept) << kept.error();
  EXPECT_EQ((*kept)->files[0].text, "workers {{workers}}\n");
  EXPECT_EQ(digest_of(**kept), *digest);
  EXPECT_EQ(fs::status(folder_.path() + "/kept").permissions(), fs::perms::owner_all);
}

TEST_F(ConfigurationDirectory, ACopyThatWasChangedIsNotBelieved) {
  auto kept = folder_.path() + "/kept";
  auto digest = *ConfigurationStore(kept, read_configuration).keep(path());
  std::ofstream(kept + "/" + digest + "/web.conf.mustache") << "evil {{workers}}\n";
  ConfigurationStore store(kept, read_configuration);
  auto found = store.find(digest);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().what, HasSubstr("was changed since it was kept"));
  EXPECT_EQ(*store.keep(path()), digest) << "named again, it is kept again";
  EXPECT_EQ((*store.find(digest))->files[0].text, "workers {{workers}}\n");
  EXPECT_FALSE(store.find(std::string(64, 'a')));
  EXPECT_FALSE(store.find("../7"));
}

}  // namespace
}  // namespace shiftd
