using System.Buffers.Binary;
using System.Text;
using CsCheck;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

public sealed class HostileSafetensorsTests : SafetensorsFiles
{
    private const string Sound =
        """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"e":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}""";

    private static bool s_isWarm;
    private static readonly CpuDevice s_cpu = new("cpu", InstructionSet.Reference, 1);

    [Theory]
    [InlineData("""[]""", 0, "byte 8: the header must start with '{', found 0x5b; this is no safetensors file")]
    [InlineData("", 0, "byte 8: the header must start with '{', found nothing; this is no safetensors file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 3, "tensor 'a': data_offsets [0, 4] do not lie in the 3 bytes of data: the file is cut short or its header damaged")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 5, "byte 66: the tensors end at byte 66, the file at byte 67: bytes that belong to no tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "tensor 'a', byte 66: begins at byte 66, expected 62: it leaves a hole before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", 6, "it overlaps the tensor before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4, "it overlaps the tensor before it")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4, "data_offsets [4, 0] do not lie in the 4 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "tensor 'a': F32 [2] takes 64 bits, data_offsets [0, 4] hold 4 bytes")]
    [InlineData("""{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}""", 2, "tensor 'a': F4 [3] takes 12 bits, data_offsets [0, 2] hold 2 bytes")]
    [InlineData("""{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}""", 4, "tensor 'a': unknown dtype 'F33', expected one of BOOL, ")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "has more elements than any file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}}""", 0, "has more elements than any file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}}""", 0, "its shape must be a list of integers from 0 to 2^63 - 1, found Number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}""", 0, "its shape must be a list of integers from 0 to 2^63 - 1, found Number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}""", 4, "its shape must be a list of integers")]
    [InlineData("""{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", 4, "its shape must be a list of integers from 0 to 2^63 - 1, found String")]
    [InlineData("""{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}""", 4, "its shape must be a list of integers, found Number")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}""", 4, "its shape has more than 32 entries")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", 4, "its data_offsets has more than 2 entries")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""", 4, "found no pair of data_offsets")]
    [InlineData("""{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", 4, "its dtype must be a string, found Number")]
    [InlineData("""{"a":{"shape":[1],"data_offsets":[0,4]}}""", 4, "needs dtype, shape and two data_offsets, found no dtype")]
    [InlineData("""{"a":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "found no shape")]
    [InlineData("""{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}""", 4, "the header gives its dtype twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}""", 4, "the header gives its shape twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "tensor 'a': the header names it twice; the file is damaged")]
    [InlineData("""{"a":3}""", 0, "tensor 'a', byte 13: expected an object with dtype, shape and data_offsets, found Number")]
    [InlineData("""{"__metadata__":[]}""", 0, "__metadata__ must be an object of strings, found StartArray")]
    [InlineData("""{"__metadata__":{"k":1}}""", 0, "__metadata__ holds only strings, 'k' is Number")]
    [InlineData("""{"__metadata__":{"k":"1","k":"2"}}""", 0, "__metadata__ names 'k' twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", 0, "tensor '__metadata__': the header names it twice")]
    [InlineData("""{"__metadata__":{"k":"\ud800"}}""", 0, "the header is not valid JSON (")]
    [InlineData("""{} {}""", 0, "the header is not valid JSON (")]
    [InlineData("""{"a":""", 0, "the header is not valid JSON (")]
    [InlineData("""{,}""", 0, "the header is not valid JSON (")]
    [InlineData("""{"x":{"y":{"z":{"z":{"z":{"z":{"z":{"z":{}}}}}}}}}""", 0, "the header is not valid JSON (")]
    public void A_wrong_header_is_refused_with_what_is_wrong(string header, int dataByteCount, string message)
    {
        string path = Write(Make(header, dataByteCount));

        SafetensorsException failure = Assert.Throws<SafetensorsException>(() => SafetensorsReader.Open(path));

        Assert.StartsWith(path, failure.Message);
        Assert.Contains(message, failure.Message);
    }

    [Fact]
    public void Bytes_that_are_not_utf8_are_refused()
    {
        Assert.EndsWith("the header is not valid UTF-8; the file is damaged",
            Assert.Throws<SafetensorsException>(() => SafetensorsReader.Open(Write(Make([(byte)'{', (byte)'"', 0xc0, 0x80, (byte)'"', (byte)'}'], [])))).Message);
    }

    [Theory]
    [InlineData(ulong.MaxValue, "a header of 18446744073709551615 bytes, the format allows 100000000; this is no safetensors file")]
    [InlineData(9_223_372_036_854_775_800, "a header of 9223372036854775800 bytes, the format allows 100000000; this is no safetensors file")]
    [InlineData(100_000_001, "a header of 100000001 bytes, the format allows 100000000; this is no safetensors file")]
    [InlineData(100_000_000, "a header of 100000000 bytes in a file of 10: cut short, or no safetensors file")]
    [InlineData(3, "a header of 3 bytes in a file of 10: cut short, or no safetensors file")]
    public void A_header_length_that_lies_allocates_nothing(ulong length, string message)
    {
        byte[] file = new byte[10];
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        string path = Write(file);
        long before = GC.GetAllocatedBytesForCurrentThread();

        SafetensorsException failure = Assert.Throws<SafetensorsException>(() => SafetensorsReader.Open(path));

        Assert.Equal($"{path}, byte 0: {message}", failure.Message);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 100_000);
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_refused()
    {
        byte[] file = Make(Sound, 14);
        for (int length = 0; length < file.Length; length++)
        {
            string path = Write(file[..length]);
            Assert.Equal(path, Assert.Throws<SafetensorsException>(() => SafetensorsReader.Open(path)).File);
        }
        using SafetensorsReader whole = SafetensorsReader.Open(Write(file));
        Assert.Equal(["a", "e", "b"], whole.Entries.Select(entry => entry.Name));
    }

    [Fact]
    public void Every_value_of_every_byte_is_refused_or_read_within_bounds()
    {
        byte[] file = Make(Sound, 14);
        string path = Write(file);
        using FileStream stream = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, 0);
        for (int i = 0; i < file.Length - 14; i++)
        {
            // Every value in the length; elsewhere each bit and what JSON is made of.
            IEnumerable<int> values = i < 8 ? Enumerable.Range(0, 256) : [.. Enumerable.Range(0, 8).Select(bit => file[i] ^ (1 << bit)), .. "\"{}[],:\\0 -9.eE\0"];
            foreach (int value in values)
            {
                stream.Position = i;
                stream.WriteByte((byte)value);
                OpenAndReadAll(path, file.Length);
            }
            stream.Position = i;
            stream.WriteByte(file[i]);
        }
    }

    [Fact]
    public void Headers_made_of_the_formats_own_pieces_are_refused_or_read_within_bounds()
    {
        Gen<string> number = Gen.OneOf(Gen.Long[-2, 20].Select(n => n.ToString()), Gen.Long.Select(n => n.ToString()), AnyOf("1e3", "0.5", "18446744073709551616", "-0", "00", "null", "\"4\""));
        Gen<string> numbers = number.Array[0, 4].Select(list => $"[{string.Join(',', list)}]");
        Gen<string> name = AnyOf("a", "b", "__metadata__", "dtype", "shape", "data_offsets", "\\u0061", "\\ud800", "", "é");
        Gen<string> dtype = AnyOf("\"F32\"", "\"I32\"", "\"BF16\"", "\"I64\"", "\"F4\"", "\"X\"", "3", "null");
        Gen<string> field = Gen.OneOf(dtype.Select(value => $"\"dtype\":{value}"), numbers.Select(value => $"\"shape\":{value}"), numbers.Select(value => $"\"data_offsets\":{value}"),
            name.Select(value => $"\"{value}\":{{}}"), name.Select(value => $"\"{value}\":\"{value}\""));
        Gen<string> usual = Gen.Select(dtype, numbers, Gen.Int[0, 8], Gen.Int[0, 16]).Select((type, shape, begin, end) => $"\"dtype\":{type},\"shape\":{shape},\"data_offsets\":[{begin},{end}]");
        Gen<string> tensor = Gen.Select(name, Gen.OneOf(usual, field.Array[0, 5].Select(fields => string.Join(',', fields)))).Select((key, body) => $"\"{key}\":{{{body}}}");
        Gen<string> header = Gen.OneOf(tensor.Array[0, 4].Select(entries => $"{{{string.Join(',', entries)}}}"), Gen.String[0, 40].Select(text => "{" + text));

        Gen.Select(header, Gen.Int[0, 24]).Sample((text, dataByteCount) =>
        {
            byte[] file = Make(text, dataByteCount);
            OpenAndReadAll(Write(file), file.Length);
        }, iter: 1500, threads: 1);
    }

    [Fact]
    public void Many_tiny_entries_take_memory_in_proportion_to_the_file()
    {
        StringBuilder header = new("{");
        for (int i = 0; i < 20_000; i++) header.Append(i == 0 ? "" : ",").Append($"\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        byte[] file = Make(header.Append('}').ToString(), 0);
        OpenAndReadAll(Write(file), file.Length);
    }

    [Fact]
    public void A_file_that_becomes_shorter_while_open_is_found()
    {
        string path = Write(Make(Sound, 14));
        using SafetensorsReader reader = SafetensorsReader.Open(path);
        // Through a new file's length, as a program that writes in place would do it.
        using (FileStream stream = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete)) stream.SetLength(stream.Length - 1);

        Assert.Contains("tensor 'b'", Assert.Throws<SafetensorsException>(() => reader.Load(s_cpu.DefaultStream, "b")).Message);
        Assert.Equal(0, s_cpu.Pool.RentedCount);
    }

    [Fact]
    public void Names_that_could_trick_a_terminal_are_shown_harmless()
    {
        string name = "\\u001b[31m" + new string('x', 500);
        SafetensorsException failure = Assert.Throws<SafetensorsException>(() => SafetensorsReader.Open(Write(Make($$"""{"{{name}}":3}""", 0))));
        Assert.Contains("'?[31mxxx", failure.Message);
        Assert.InRange(failure.Message.Length, 100, 400);
    }

    private static Gen<string> AnyOf(params string[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    // Whatever the file says: it is refused with this one exception, or all that it claims to hold can be read; and memory stays in proportion.
    private static void OpenAndReadAll(string path, long fileByteCount)
    {
        // What the first reading ever makes once for all is not the file's.
        if (!s_isWarm) Read(path);
        s_isWarm = true;
        long before = GC.GetAllocatedBytesForCurrentThread();
        Read(path);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < 100_000 + (30 * fileByteCount), $"{allocated} bytes allocated for a file of {fileByteCount}");
    }

    private static void Read(string path)
    {
        try
        {
            using SafetensorsReader reader = SafetensorsReader.Open(path);
            foreach (SafetensorsEntry entry in reader.Entries)
            {
                if (entry.DType is null) continue;
                try
                {
                    using Tensor tensor = reader.Load(s_cpu.DefaultStream, entry.Name);
                    Assert.Equal(entry.ByteCount, tensor.ByteCount);
                }
                catch (SafetensorsException)
                {
                    // More dimensions than tensors have.
                }
            }
        }
        catch (SafetensorsException failure)
        {
            Assert.Equal(path, failure.File);
        }
    }
}
