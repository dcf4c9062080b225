using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed record Review(string Text, int Stars);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(Review))]
public sealed partial class ReviewJson : JsonSerializerContext;

public sealed class FromJsonLinesTests : IDisposable
{
    private static readonly JsonTypeInfo<Review> s_type = ReviewJson.Default.Review;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("{\"text\":\"a\",\"stars\":1}\n{\"text\":\"b\\n\",\"stars\":2}\n")]
    [InlineData("\ufeff{\"text\":\"a\",\"stars\":1}\r\n\n  \r\n {\"text\":\"b\\n\",\"stars\":2} ")]
    public void Objects_are_read_one_a_line(string text) =>
        Assert.Equal([new Review("a", 1), new Review("b\n", 2)], Dataset.FromJsonLines(Write(text), s_type));

    [Fact]
    public void Tokens_can_be_read_in_place() =>
        Assert.Equal([6, 0], Dataset.FromJsonLines(Write("[1,2,3]\n[]\n"), Sum));

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_run_goes_on_where_it_was_saved(int threads)
    {
        _folder.Write("1.jsonl", "{\"text\":\"a\",\"stars\":1}\n\n{\"text\":\"b\",\"stars\":2}"u8.ToArray());
        _folder.Write("2.jsonl", []);
        _folder.Write("3.jsonl", "{\"text\":\"c\",\"stars\":3}\n"u8.ToArray());
        CheckpointChecker.Check(() => Dataset.FromJsonLines(_folder.File("*.jsonl"), s_type, new JsonLinesOptions { Parallelism = threads }), breakPoints: 100);
    }

    [Fact]
    public void Lines_are_read_by_number_as_in_order()
    {
        Dataset<int> lines = Dataset.FromJsonLines(Write("\n[1]\n\n[2]\n[3] \n  [4]\n\n"), Sum);
        Assert.True(lines.HasIndex);
        Assert.Equal([1, 2, 3, 4], lines);
        Assert.Equal([1, 2, 3, 4], lines.GlobalShuffle(1).Order());
    }

    [Theory]
    [InlineData("{\"text\":\"a\",\"stars\":1}\n{\"text\":\"b\",\"stars\":x}\n", 43, "line 2, record 1, byte 20 of the line")]
    [InlineData("\n[1]\n", 2, "line 2, record 0, byte 1 of the line")]
    [InlineData("{\"text\":\"a\",\"stars\":\"one\"}\n", 25, "line 1, record 0, byte 25 of the line")]
    [InlineData("{\"text\":\"a\",\"stars\":1", 21, "line 1, record 0, byte 21 of the line")]
    [InlineData("{\"text\":\"a\",\"stars\":1} {}\n", 23, "line 1, record 0, byte 23 of the line")]
    [InlineData("null\n", 4, "the line is null")]
    [InlineData("{\"text\":\"a\"}\n", 12, "missing required properties")]
    public void A_bad_line_is_named_with_file_line_and_byte(string text, long offset, string expected)
    {
        string file = Write(text);
        DataFormatException failure = Assert.Throws<DataFormatException>(() => Dataset.FromJsonLines(file, s_type).Count());
        Assert.Contains(expected, failure.Message);
        Assert.Equal((file, offset), (failure.File, failure.Offset));
    }

    [Fact]
    public void Text_that_is_no_utf8_is_named_with_its_byte()
    {
        string file = _folder.Write("latin.jsonl", [.. "\n{\"text\":\""u8, 0xe9, .. "\",\"stars\":1}\n"u8]);
        Assert.StartsWith($"{file}, byte 10: line 2, record 0, byte 9 of the line: no UTF-8 text: byte 0xe9", Assert.Throws<DataFormatException>(() => Dataset.FromJsonLines(file, s_type).Count()).Message);
    }

    [Fact]
    public void A_parser_that_reads_nothing_is_told() =>
        Assert.Contains("the parser took nothing of it", Assert.Throws<DataFormatException>(() => Dataset.FromJsonLines(Write("1\n"), (ref Utf8JsonReader reader) => 0).Count()).Message);

    [Fact]
    public void A_bad_line_is_the_same_error_with_threads_as_without()
    {
        string file = Write("[1]\n[\n[2]\n");
        string[] seen = [.. new[] { 1, 3 }.Select(threads =>
        {
            using DatasetIterator<int> run = Dataset.FromJsonLines(file, Sum, new JsonLinesOptions { Parallelism = threads }).Iterate();
            Assert.True(run.MoveNext());
            DataFormatException failure = Assert.Throws<DataFormatException>(() => run.MoveNext());
            Assert.True(run.MoveNext());
            Assert.Equal(2, run.Current);
            return failure.Message;
        })];
        Assert.Equal(seen[0], seen[1]);
    }

    [Fact]
    public void Behind_a_bad_line_the_next_one_follows()
    {
        using DatasetIterator<int> run = Dataset.FromJsonLines(Write("[1]\n[\n[2]\n"), Sum).Iterate();
        Assert.True(run.MoveNext());
        Assert.Throws<DataFormatException>(() => run.MoveNext());
        Assert.True(run.MoveNext());
        Assert.Equal(2, run.Current);
        Assert.False(run.MoveNext());
    }

    [Fact]
    public void A_line_over_the_bound_is_an_error_and_the_next_one_follows()
    {
        using DatasetIterator<int> run = Dataset.FromJsonLines(Write($"[1{new string(' ', 50)}]\n[2]\n"), Sum, new JsonLinesOptions { MaxLineByteCount = 20 }).Iterate();
        Assert.Contains("a line of more than 20 bytes", Assert.Throws<DataFormatException>(() => run.MoveNext()).Message);
        Assert.True(run.MoveNext());
        Assert.Equal(2, run.Current);
    }

    [Fact]
    public void Any_bytes_give_clear_errors() =>
        Gen.OneOf(Gen.Byte, Gen.Char["{}[]\":,\n1a "].Select(c => (byte)c)).Array[0, 60].Sample(bytes =>
        {
            string file = _folder.Write("any.jsonl", bytes);
            try
            {
                foreach (Review review in Dataset.FromJsonLines(file, s_type, new JsonLinesOptions { ReadAhead = false })) Assert.NotNull(review);
            }
            catch (DataFormatException e)
            {
                Assert.Equal(file, e.File);
                Assert.InRange(e.Offset, 0, bytes.Length);
            }
        }, iter: 500, threads: 1);

    [Fact]
    public void Taking_lines_allocates_nothing()
    {
        using DatasetIterator<int> run = Dataset.FromJsonLines(Write(string.Concat(Enumerable.Repeat("[1,2,3]\n", 20_000))), Sum, new JsonLinesOptions { ReadAhead = false }).Iterate();
        int sum = Take(run, 500);
        Assert.Equal(0, SourceLeases.LeastAllocated(() => sum += Take(run, 3000)));
        Assert.Equal(93_000, sum);
    }

    private static int Take(DatasetIterator<int> run, int count)
    {
        int sum = 0;
        for (int i = 0; i < count && run.TryNext(out int value); i++) sum += value;
        return sum;
    }

    private static int Sum(ref Utf8JsonReader reader)
    {
        int sum = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            if (reader.TokenType == JsonTokenType.Number) sum += reader.GetInt32();
        return sum;
    }

    private string Write(string text) => _folder.Write("lines.jsonl", Encoding.UTF8.GetBytes(text));
}
