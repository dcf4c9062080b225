using System.Text;
using CsCheck;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class SafetensorsTests : SafetensorsFiles
{
    private static readonly CpuDevice s_cpu = new("cpu", InstructionSet.Reference, 1);

    [Fact]
    public void The_example_of_the_formats_own_documentation_is_read()
    {
        using SafetensorsReader reader = SafetensorsReader.Open(Write(
            [0x3c, 0, 0, 0, 0, 0, 0, 0, .. "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"u8, .. new byte[16]]));

        SafetensorsEntry entry = Assert.Single(reader.Entries);
        Assert.Equal(("test", "I32 [2, 2]", 68L, 16L), (entry.Name, entry.ToString(), entry.Offset, entry.ByteCount));
        int[] elements = [1, 1, 1, 1];
        reader.Read<int>("test", elements);
        Assert.Equal([0, 0, 0, 0], elements);
    }

    [Fact]
    public void Written_tensors_of_every_type_are_read_back_with_equal_bits()
    {
        using Tensor weight = Tensor.From(s_cpu.DefaultStream, [1.5f, float.NaN, -0f, float.MaxValue, float.Epsilon, 3f], new Shape(2, 3));
        using Tensor labels = Tensor.From(s_cpu.DefaultStream, [int.MinValue, 7], new Shape(2));
        using Tensor half = Tensor.From(s_cpu.DefaultStream, [(Half)0.1f, Half.NaN, (Half)3], new Shape(3));
        using Tensor brain = Tensor.From(s_cpu.DefaultStream, [(ushort)0x3f80, (ushort)0xffff], new Shape(1, 2));
        using Tensor scalar = Tensor.From(s_cpu.DefaultStream, [42f], new Shape()), empty = Tensor.Zeros(s_cpu.DefaultStream, new Shape(3, 0));
        KeyValuePair<string, Tensor>[] tensors = [new("half", half), new("layer.weight", weight), new("labels", labels), new("brain", brain), new("scalar", scalar), new("empty", empty)];

        SafetensorsWriter.Write(File("a"), s_cpu.DefaultStream, tensors, new Dictionary<string, string> { ["format"] = "pt", ["note"] = "a \"quoted\" line\n" });

        using SafetensorsReader reader = SafetensorsReader.Open(File("a"));
        Assert.Equal("a \"quoted\" line\n", reader.Metadata["note"]);
        foreach ((string name, Tensor expected) in tensors)
        {
            using Tensor found = reader.Load(s_cpu.DefaultStream, name);
            Assert.Equal((expected.DType, expected.Shape), (found.DType, found.Shape));
            Assert.Equal(Bytes(expected), Bytes(found));
        }
        Assert.All(reader.Entries, entry => Assert.Equal(0, entry.Offset % (entry.DTypeName is "F32" or "I32" ? 4 : 2)));
        Assert.Equal(0, reader.Entries[0].Offset % 64);
    }

    [Fact]
    public void The_bytes_of_a_file_do_not_depend_on_the_order_that_tensors_are_given_in()
    {
        using Tensor a = Tensor.From(s_cpu.DefaultStream, [1f], new Shape(1)), b = Tensor.From(s_cpu.DefaultStream, [2f], new Shape(1));
        using Tensor c = Tensor.From(s_cpu.DefaultStream, [(Half)3f], new Shape(1));
        SafetensorsWriter.Write(File("1"), s_cpu.DefaultStream, [new("a", a), new("b", b), new("c", c)]);
        SafetensorsWriter.Write(File("2"), s_cpu.DefaultStream, [new("c", c), new("b", b), new("a", a)]);

        byte[] bytes = System.IO.File.ReadAllBytes(File("1"));
        Assert.Equal(bytes, System.IO.File.ReadAllBytes(File("2")));
        string header = """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"c":{"dtype":"F16","shape":[1],"data_offsets":[8,10]}}""";
        Assert.Equal(header, Encoding.UTF8.GetString(bytes, 8, bytes.Length - 18).TrimEnd(' '));
        Assert.Equal([0, 0, 128, 63, 0, 0, 0, 64, 0, 66], bytes[^10..]);
        Assert.Equal(0, (bytes.Length - 10) % 64);
    }

    [Fact]
    public void Any_tensors_with_any_names_survive()
    {
        Gen<(string, float[])> tensor = Gen.Select(Gen.String[1, 20].Where(IsWhole), Gen.Single.Array[0, 40]);
        tensor.List[0, 8].Sample(list =>
        {
            List<(string Name, float[] Elements)> distinct = [.. list.DistinctBy(pair => pair.Item1).Where(pair => pair.Item1 != "__metadata__")];
            List<KeyValuePair<string, Tensor>> tensors =
                [.. distinct.Select(pair => KeyValuePair.Create(pair.Name, Tensor.From(s_cpu.DefaultStream, pair.Elements, new Shape(pair.Elements.Length))))];
            SafetensorsWriter.Write(File("any"), s_cpu.DefaultStream, tensors);
            foreach ((_, Tensor written) in tensors) written.Dispose();
            using SafetensorsReader reader = SafetensorsReader.Open(File("any"));
            Assert.Equal(distinct.Count, reader.Entries.Count);
            foreach ((string name, float[] elements) in distinct)
            {
                float[] found = new float[elements.Length];
                reader.Read<float>(name, found);
                Numbers.AssertSameBits(elements, found);
            }
        }, iter: 100, threads: 1);
    }

    [Theory]
    [InlineData(TestDevice.Emulator)]
    [InlineData(TestDevice.OpenClPocl)]
    [InlineData(TestDevice.Cuda)]
    public void Tensors_on_other_devices_pass_through_host_memory_in_parts(TestDevice which)
    {
        ComputeDevice device = TestDevices.Get(which);
        // More than one part of 4 MiB, and no multiple of it.
        float[] elements = Numbers.Uniform(new Shape(1_200_001), 3);
        using Tensor tensor = Tensor.From(device.DefaultStream, elements, new Shape(1_200_001)), half = Tensor.From(device.DefaultStream, [(Half)1f, (Half)2f], new Shape(2));
        SafetensorsWriter.Write(File("gpu"), device.DefaultStream, [new("t", tensor), new("h", half)]);

        using SafetensorsReader reader = SafetensorsReader.Open(File("gpu"));
        using Tensor loaded = reader.Load(device.DefaultStream, "t"), onHost = reader.Load(s_cpu.DefaultStream, "t"), loadedHalf = reader.Load(device.DefaultStream, "h");

        Numbers.AssertSameBits(elements, loaded.ToArray<float>(device.DefaultStream));
        Numbers.AssertSameBits(elements, onHost.ToArray<float>(s_cpu.DefaultStream));
        Assert.Equal([(Half)1f, (Half)2f], loadedHalf.ToArray<Half>(device.DefaultStream));
    }

    [Fact]
    public void Loading_into_a_tensor_of_another_shape_names_both()
    {
        using SafetensorsReader reader = SafetensorsReader.Open(Write(Make("""{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}""", 16)));
        using Tensor right = Tensor.Zeros(s_cpu.DefaultStream, new Shape(2, 2)), wrong = Tensor.Zeros(s_cpu.DefaultStream, new Shape(4));

        reader.LoadInto(s_cpu.DefaultStream, "w", right);
        SafetensorsException failure = Assert.Throws<SafetensorsException>(() => reader.LoadInto(s_cpu.DefaultStream, "w", wrong));

        Assert.Equal(BitConverter.ToSingle([13, 14, 15, 16]), right.AsSpan<float>()[3]);
        Assert.Equal($"{reader.Path}, tensor 'w': the file has F32 [2, 2], expected F32 [4]: the weights of another model", failure.Message);
    }

    [Fact]
    public void A_name_that_is_not_there_gets_the_nearest_one()
    {
        using SafetensorsReader reader = SafetensorsReader.Open(Write(Make("""{"layer.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 4)));

        Assert.Equal($"{reader.Path}, tensor 'layer.weigth': the file has no such tensor among its 1. Did you mean 'layer.weight'?",
            Assert.Throws<SafetensorsException>(() => reader.Load(s_cpu.DefaultStream, "layer.weigth")).Message);
        Assert.Null(reader.Find("other"));
        Assert.EndsWith("is F32 [1], asked for as I32", Assert.Throws<SafetensorsException>(() => reader.Read("layer.weight", new int[1].AsSpan())).Message);
        Assert.Contains("F32 [1] has 1 elements, the span has 2", Assert.Throws<ArgumentException>(() => reader.Read("layer.weight", new float[2].AsSpan())).Message);
    }

    [Fact]
    public void Numbers_of_64_bits_come_back_as_they_were_written()
    {
        ExecutionStream stream = s_cpu.DefaultStream;
        using Tensor doubles = Tensor.From(stream, [Math.PI, double.MinValue, double.NaN], new Shape(3)), longs = Tensor.From(stream, [long.MinValue, -1L, long.MaxValue], new Shape(3));
        string path = Write([]);
        SafetensorsWriter.Write(path, stream, new Dictionary<string, Tensor> { ["d"] = doubles, ["l"] = longs });

        using SafetensorsReader reader = SafetensorsReader.Open(path);
        using Tensor d = reader.Load(stream, "d"), l = reader.Load(stream, "l");
        Assert.Equal((DType.F64, DType.I64), (d.DType, l.DType));
        Assert.Equal(doubles.ToArray<double>(stream), d.ToArray<double>(stream));
        Assert.Equal(longs.ToArray<long>(stream), l.ToArray<long>(stream));
    }

    [Fact]
    public void Types_and_shapes_that_tensors_cannot_have_are_listed_but_not_loaded()
    {
        using SafetensorsReader reader = SafetensorsReader.Open(Write(Make(
            """{"i":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"f":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[8,12]},"z":{"dtype":"F32","shape":[0,3000000000],"data_offsets":[12,12]}}""", 12)));

        Assert.Equal(["U64 [1]", "F32 [0, 3000000000]", "F32 [1, 1, 1, 1, 1, 1, 1, 1, 1]"], reader.Entries.OrderBy(entry => entry.Name switch { "i" => 0, "z" => 1, _ => 2 }).Select(entry => entry.ToString()));
        Assert.EndsWith("tensor 'i': U64 can't be loaded, only F32, I32, F16, BF16, F64 and I64 can; convert the file first",
            Assert.Throws<SafetensorsException>(() => reader.Load(s_cpu.DefaultStream, "i")).Message);
        Assert.Contains("at most 8 dimensions", Assert.Throws<SafetensorsException>(() => reader.Load(s_cpu.DefaultStream, "f")).Message);
        Assert.Contains("at most 2147483647", Assert.Throws<SafetensorsException>(() => reader.Load(s_cpu.DefaultStream, "z")).Message);
    }

    [Fact]
    public void Names_that_the_format_cannot_hold_are_refused_and_leave_no_file()
    {
        using Tensor tensor = Tensor.Zeros(s_cpu.DefaultStream, new Shape(1));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(File("x"), s_cpu.DefaultStream, [new("__metadata__", tensor)]));
        Assert.Contains("two tensors are called 'a'", Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(File("x"), s_cpu.DefaultStream, [new("a", tensor), new("a", tensor)])).Message);
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(File("x"), s_cpu.DefaultStream, [new("half \ud800", tensor)]));
        Assert.Empty(Directory.EnumerateFileSystemEntries(Folder));
    }

    [Fact]
    public void A_write_that_fails_leaves_the_old_file_and_nothing_else()
    {
        Write([1, 2, 3], "kept");
        Tensor disposed = Tensor.Zeros(s_cpu.DefaultStream, new Shape(1));
        disposed.Dispose();
        using Tensor sound = Tensor.Zeros(s_cpu.DefaultStream, new Shape(1));

        Assert.Throws<ObjectDisposedException>(() => SafetensorsWriter.Write(File("kept"), s_cpu.DefaultStream, [new("a", sound), new("b", disposed)]));

        Assert.Equal([1, 2, 3], System.IO.File.ReadAllBytes(File("kept")));
        Assert.Equal([File("kept")], Directory.EnumerateFileSystemEntries(Folder));
        Assert.Throws<DirectoryNotFoundException>(() => SafetensorsWriter.Write(File("no/such"), s_cpu.DefaultStream, [new("a", sound)]));
    }

    private static byte[] Bytes(Tensor tensor) => tensor.DType switch
    {
        DType.F32 => [.. tensor.ToArray<float>(s_cpu.DefaultStream).SelectMany(BitConverter.GetBytes)],
        DType.I32 => [.. tensor.ToArray<int>(s_cpu.DefaultStream).SelectMany(BitConverter.GetBytes)],
        DType.F16 => [.. tensor.ToArray<Half>(s_cpu.DefaultStream).SelectMany(BitConverter.GetBytes)],
        _ => [.. tensor.ToArray<ushort>(s_cpu.DefaultStream).SelectMany(BitConverter.GetBytes)],
    };

    private static bool IsWhole(string text)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1])) i++;
            else if (char.IsSurrogate(text[i])) return false;
        }
        return true;
    }
}
