#include "daemon/release/render.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shiftd {
namespace {

using testing::HasSubstr;

const HostFacts web1{"web", "production", "eqiad", "text", "web1", "10.0.0.1:80"};

Variable text(std::string value) { return {std::move(value)}; }

Configuration with_template(std::string template_text) {
  Configuration configuration;
  configuration.directory = "/srv/configs/7";
  ConfigurationFile file;
  file.template_name = "web.conf.mustache";
  file.text = std::move(template_text);
  file.path = "/etc/web/{{host}}.conf";
  configuration.files.push_back(std::move(file));
  auto& all = configuration.scopes.all;
  all["workers"] = text("8");
  all["motd"] = text("<a & \"b\">");
  all["debug"] = {false};
  all["cache"] = {true};
  all["peers"] = {Variable::List{text("p1"), text("p2")}};
  all["none"] = {Variable::List{}};
  all["tls"] = {Variable::Fields{{"port", text("443")}}};
  return configuration;
}

TEST(Render, FillsWhatIsKnownAndEscapesNothing) {
  struct {
    const char* what;
    const char* given;
    const char* becomes;
  } const cases[] = {
      {"no tag", "a\n\nb", "a\n\nb"},
      {"a fact", "{{service}} {{environment}} {{dc}} {{cluster}} {{host}} {{address}}", "web production eqiad text web1 10.0.0.1:80"},
      {"a variable", "workers={{ workers }};", "workers=8;"},
      {"nothing is escaped", "{{motd}}", "<a & \"b\">"},
      {"a flag opens a section", "{{#cache}}on{{/cache}}{{^cache}}off{{/cache}}", "on"},
      {"a flag closes a section", "{{#debug}}on{{/debug}}{{^debug}}off{{/debug}}", "off"},
      {"a list", "{{#peers}}\npeer {{.}}\n{{/peers}}\nend\n", "peer p1\npeer p2\nend\n"},
      {"an empty list", "{{^none}}nobody{{/none}}", "nobody"},
      {"a map", "{{tls.port}} {{#tls}}{{port}}{{/tls}}", "443 443"},
      {"a comment", "a{{! not this }}b", "ab"},
  };
  for (const auto& [what, given, becomes] : cases) {
    SCOPED_TRACE(what);
    auto files = render(with_template(given), web1);
    ASSERT_TRUE(files) << files.error();
    EXPECT_EQ(files->at(0).text, becomes);
    EXPECT_EQ(files->at(0).path, "/etc/web/web1.conf");
  }
}

TEST(Render, RefusesWithTheTemplateAndTheLine) {
  struct {
    const char* what;
    const char* given;
    const char* says;
  } const cases[] = {
      {"an unknown variable", "a\nb {{wokers}}\n", "/srv/configs/7/web.conf.mustache:2: unknown variable {{wokers}}"},
      {"an unknown section", "\n\n{{#ssl}}x{{/ssl}}", "web.conf.mustache:3: unknown variable {{ssl}}"},
      {"an unknown inverted section", "{{^ssl}}x{{/ssl}}", "unknown variable {{ssl}}"},
      {"an unknown field", "{{tls.prot}}", "unknown variable {{tls.prot}}"},
      {"a name within a section", "{{#peers}}\n{{name}}\n{{/peers}}", "web.conf.mustache:2: unknown variable {{name}}"},
      {"a flag as text", "x\n{{debug}}", "web.conf.mustache:2: {{debug}} is no text: write {{#debug}}...{{/debug}}"},
      {"a list as text", "{{peers}}", "{{peers}} is no text"},
      {"another template", "{{> other}}", "a template cannot hold another one"},
      {"braces that stay open", "a\n{{workers", "web.conf.mustache:2: "},
      {"a section that stays open", "{{#cache}}x", "web.conf.mustache:1: "},
  };
  for (const auto& [what, given, says] : cases) {
    SCOPED_TRACE(what);
    auto files = render(with_template(given), web1);
    ASSERT_FALSE(files);
    EXPECT_EQ(files.error().code, Errc::bad_input);
    EXPECT_THAT(files.error().what, HasSubstr(says));
  }
  auto unset = web1;
  unset.dc.clear();
  EXPECT_FALSE(render(with_template("{{dc}}"), unset));
}

TEST(Render, WhatIsMoreParticularWins) {
  auto configuration = with_template("{{workers}}");
  auto& scopes = configuration.scopes;
  auto becomes = [&] { return render(configuration, web1)->at(0).text; };
  EXPECT_EQ(becomes(), "8");
  scopes.environments["production"]["workers"] = text("16");
  scopes.environments["staging"]["workers"] = text("1");
  EXPECT_EQ(becomes(), "16");
  scopes.dcs["eqiad"]["workers"] = text("24");
  EXPECT_EQ(becomes(), "24");
  scopes.clusters["text"]["workers"] = text("32");
  EXPECT_EQ(becomes(), "32");
  scopes.hosts["web1"]["workers"] = text("64");
  EXPECT_EQ(becomes(), "64");
}

TEST(Render, IsBounded) {
  auto configuration = with_template("{{#peers}}{{motd}}{{/peers}}");
  configuration.scopes.all["motd"] = text(std::string(rendered_most / 2 + 1, 'x'));
  auto files = render(configuration, web1);
  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().what, HasSubstr("at most"));

  configuration = with_template(std::string(rendered_most, 'x'));
  for (int number = 0; number < 8; ++number) {
    configuration.files.push_back(configuration.files[0]);
    configuration.files.back().path += std::to_string(number);
  }
  auto all = render(configuration, web1);
  ASSERT_FALSE(all);
  EXPECT_THAT(all.error().what, HasSubstr("more than 8388608 bytes"));
}

TEST(Render, TwoFilesMayNotHaveOnePath) {
  auto configuration = with_template("x");
  configuration.files.push_back(configuration.files[0]);
  configuration.files[1].path = "/etc/web/web1.conf";
  EXPECT_FALSE(render(configuration, web1));
}

TEST(Render, TheDigestOfAHostsFilesIsOfTextsPathsAndModes) {
  auto digest = [](const Configuration& configuration, const HostFacts& facts) { return digest_of(*render(configuration, facts)); };
  auto configuration = with_template("{{workers}}");
  auto first = digest(configuration, web1);
  EXPECT_EQ(digest(configuration, web1), first);
  auto other = configuration;
  other.files[0].mode = "0600";
  EXPECT_NE(digest(other, web1), first);
  other = configuration;
  other.scopes.all["workers"] = text("9");
  EXPECT_NE(digest(other, web1), first);
  auto web2 = web1;
  web2.host = "web2";
  EXPECT_NE(digest(configuration, web2), first);
}

TEST(ReleaseName, IsOfTheCodeAndOfTheConfiguration) {
  const std::string code(64, 'a');
  const std::string configuration(64, 'b');
  EXPECT_EQ(name_of({code, configuration}), code + "-" + configuration);
  EXPECT_EQ(name_of({code, ""}), code);
  EXPECT_EQ(parts_of(code + "-" + configuration).configuration, configuration);
  EXPECT_EQ(parts_of(code + "-" + configuration).code, code);
  for (const auto& name : {std::string(), std::string("2.4.1-1"), code, code + "-", code + "-" + code + "0"}) {
    EXPECT_EQ(parts_of(name).code, name);
    EXPECT_EQ(parts_of(name).configuration, "");
  }
}

}  // namespace
}  // namespace shiftd
