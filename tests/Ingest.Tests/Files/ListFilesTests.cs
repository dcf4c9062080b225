using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class ListFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ListFilesTests()
    {
        foreach (string path in new[] { "b.csv", "a.csv", "A.csv", ".hidden.csv", "x.txt", "in/c.csv", "in/deep/d.csv", "in/.git/e.csv", "s-08.tar", "s-09.tar", "s-10.tar", "s-10.tar.dtindex", "odd[1].csv" })
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(path))!);
            File.WriteAllText(_folder.File(path), "");
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("*.csv", "A.csv a.csv b.csv odd[1].csv")]
    [InlineData("?.csv", "A.csv a.csv b.csv")]
    [InlineData("[ab].csv", "a.csv b.csv")]
    [InlineData("[a-z].csv", "a.csv b.csv")]
    [InlineData("[!b].csv", "A.csv a.csv")]
    [InlineData(".*.csv", ".hidden.csv")]
    [InlineData("**/*.csv", "A.csv a.csv b.csv in/c.csv in/deep/d.csv odd[1].csv")]
    [InlineData("in/**", "in/c.csv in/deep/d.csv")]
    [InlineData("**/**/d.csv", "in/deep/d.csv")]
    [InlineData("*/*.csv", "in/c.csv")]
    [InlineData("{b,a}.csv", "a.csv b.csv")]
    [InlineData("{x.txt,{a,b}.csv}", "a.csv b.csv x.txt")]
    [InlineData("s-{08..10}.tar", "s-08.tar s-09.tar s-10.tar")]
    [InlineData("odd[1].csv", "odd[1].csv")]
    [InlineData("a.csv", "a.csv")]
    [InlineData("s*", "s-08.tar s-09.tar s-10.tar")]
    [InlineData("s*.dtindex", "s-10.tar.dtindex")]
    public void Patterns_match_as_in_a_shell_and_come_in_ordinal_order(string pattern, string expected) =>
        Assert.Equal(expected.Split(' ').Select(_folder.File), Dataset.ListFiles(_folder.File(pattern)));

    [Theory]
    [InlineData("a{1..3}", "a1 a2 a3")]
    [InlineData("{3..1}", "3 2 1")]
    [InlineData("{0..10..5}", "0 5 10")]
    [InlineData("{000..2}", "000 001 002")]
    [InlineData("{8..10}", "8 9 10")]
    [InlineData("{a}{1,2}", "{a}1 {a}2")]
    [InlineData("{a{1,2}}", "{a1} {a2}")]
    [InlineData("{,x}y", "y xy")]
    [InlineData("a{b", "a{b")]
    [InlineData("a}b", "a}b")]
    [InlineData("{1..}", "{1..}")]
    [InlineData("{a,b}{1..2}", "a1 a2 b1 b2")]
    public void Braces_expand_as_in_a_shell(string pattern, string expected) => Assert.Equal(expected.Split(' '), BraceExpansion.Expand(pattern));

    [Fact]
    public void A_file_that_several_patterns_match_comes_once() =>
        Assert.Equal([_folder.File("a.csv"), _folder.File("b.csv")], Dataset.ListFiles([_folder.File("b.csv"), _folder.File("[ab].csv")]));

    [Fact]
    public void A_pattern_without_files_is_named_with_the_folder_searched()
    {
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.ListFiles(_folder.File("in/*.tar")));
        Assert.Equal($"ListFiles: no file matches '{_folder.File("in/*.tar")}': searched {_folder.File("in/")}", failure.Message);
    }

    [Fact]
    public void A_missing_folder_is_named() =>
        Assert.EndsWith($"the folder {_folder.File("no/")} does not exist", Assert.Throws<IngestException>(() => Dataset.ListFiles(_folder.File("no/*.tar"))).Message);

    [Fact]
    public void A_folder_given_as_pattern_gets_advice() =>
        Assert.Contains("it is a folder: write '", Assert.Throws<IngestException>(() => Dataset.ListFiles(_folder.File("in"))).Message);

    [Fact]
    public void One_missing_shard_of_a_range_is_named()
    {
        string pattern = _folder.File("s-{07..10}.tar");
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.ListFiles(pattern));
        Assert.StartsWith($"ListFiles: no file matches '{_folder.File("s-07.tar")}', one of the 4 that '{pattern}' stands for: searched ", failure.Message);
    }

    [Fact]
    public void No_pattern_at_all_is_an_error() => Assert.Contains("no file pattern was given", Assert.Throws<IngestException>(() => Dataset.ListFiles([])).Message);

    [Theory]
    [InlineData("{0..999999999}")]
    [InlineData("{0..999999}{0..9}")]
    [InlineData("{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}{,}")]
    public void A_range_of_more_than_a_million_is_refused(string pattern) =>
        Assert.Contains("more than 1,000,000", Assert.Throws<ArgumentException>(() => BraceExpansion.Expand(pattern)).Message);

    [Fact]
    public void A_link_in_a_circle_does_not_hang()
    {
        Directory.CreateSymbolicLink(_folder.File("in/deep/up"), _folder.File("in"));
        Assert.Equal([_folder.File("in/c.csv"), _folder.File("in/deep/d.csv")], Dataset.ListFiles(_folder.File("in/**/*.csv")));
        Assert.Equal([_folder.File("in/deep/up/c.csv")], Dataset.ListFiles(_folder.File("in/deep/*/c.csv")));
    }

    [Fact]
    public void Every_source_of_files_takes_patterns()
    {
        foreach (string name in new[] { "1", "2" })
        {
            _folder.Write($"{name}.txt", System.Text.Encoding.ASCII.GetBytes($"{name}\n"));
            using TFRecordWriter writer = new(File.Create(_folder.File($"{name}.rec")));
            writer.Write(System.Text.Encoding.ASCII.GetBytes(name));
        }
        Assert.Equal(["1", "2"], Dataset.FromTextLines(_folder.File("?.txt")));
        Assert.Equal([49, 50], Dataset.FromTFRecord(_folder.File("{1..2}.rec")).Map(record => (int)record.Span[0]));
        Assert.Equal([49, 50], Dataset.FromFixedLength(_folder.File("[12].txt"), 2).Map(record => (int)record.Span[0]));
        IngestException failure = Assert.Throws<IngestException>(() => Dataset.FromTFRecord(_folder.File("no*.rec")));
        Assert.Equal("FromTFRecord", failure.Operator);
    }

    [Fact]
    public void Shuffling_gives_another_order_each_epoch_and_the_same_for_the_same_seed()
    {
        string[] sorted = [.. Enumerable.Range(0, 50).Select(i => _folder.Write($"n{i:00}.bin", []))];
        string[] first = [.. Dataset.ListFiles(_folder.File("n*.bin"), 7)], again = [.. Dataset.ListFiles(_folder.File("n*.bin"), 7)], other = [.. Dataset.ListFiles(_folder.File("n*.bin"), 8)];
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        Assert.NotEqual(sorted, first);
        Assert.Equal(sorted, first.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_run_goes_on_where_it_was_saved()
    {
        Dataset<string> files = Dataset.ListFiles(_folder.File("**/*.csv"), 3);
        CheckpointChecker.Check(() => files, breakPoints: 100);
        Assert.Equal(Cardinality.Of(6), files.Cardinality);
        Assert.True(files.HasIndex);
    }

    // A matcher by recursion, as the definition says, is the judge.
    [Fact]
    public void Matching_agrees_with_its_definition() =>
        Gen.Select(Gen.String[Gen.Char["ab*?"], 0, 7], Gen.String[Gen.Char["abc"], 0, 8]).Sample((pattern, name) => NamePattern.Matches(pattern, name) == Defined(pattern, name), iter: 8_000);

    [Fact]
    public void No_pattern_crashes_the_matcher() =>
        Gen.Select(Gen.String[Gen.Char["[]!^a-z*?."], 0, 12], Gen.String[Gen.Char["az-.]["], 0, 8]).Sample((pattern, name) =>
        {
            NamePattern.Matches(pattern, name);
            BraceExpansion.Expand(pattern.Replace('[', '{').Replace(']', '}').Replace('!', ','));
        }, iter: 8_000);

    private static bool Defined(string pattern, string name) => pattern.Length == 0 ? name.Length == 0 : pattern[0] switch
    {
        '*' => Defined(pattern[1..], name) || (name.Length > 0 && Defined(pattern, name[1..])),
        '?' => name.Length > 0 && Defined(pattern[1..], name[1..]),
        char c => name.Length > 0 && name[0] == c && Defined(pattern[1..], name[1..]),
    };
}
